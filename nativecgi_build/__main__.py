"""`python -m nativecgi_build`: the command nativecgi."""

from nativecgi_build.cli import main

if __name__ == "__main__":
    main()
