"""Which packages of a program were installed, and are not the app's own."""

import os


def installed(path: list[str]) -> set[str]:
    """The names of what is installed in the folders of a module search path."""
    folders = (folder for folder in path if os.path.basename(folder) == "site-packages")
    return {
        name.partition(".")[0]
        for folder in folders
        if os.path.isdir(folder)
        for name in os.listdir(folder)
    }


def linked(path: list[str]) -> set[str]:
    """Of these the names of the project's own, which its environment has links to."""
    folders = (folder for folder in path if os.path.basename(folder) == "site-packages")
    return {
        name.partition(".")[0]
        for folder in folders
        if os.path.isdir(folder)
        for name in os.listdir(folder)
        if os.path.islink(os.path.join(folder, name))
    }
