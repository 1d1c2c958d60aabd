"""Builds this checkout's apps, or others: `python build.py [APP...]`, see `--help`.

It is the command `nativecgi build`, in this folder's project wherever it is called from.
"""

import sys
from pathlib import Path

from nativecgi_build.cli import main

if __name__ == "__main__":
    main(["build", *sys.argv[1:]], project=Path(__file__).resolve().parent)
