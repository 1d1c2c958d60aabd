"""The freezer in a checkout: `python -m freezer -o OUT -- PROGRAM ARGS...`.

It is the package nativecgi_build.freezer.
"""

import sys

from nativecgi_build.freezer.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
