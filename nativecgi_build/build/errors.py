"""Why an app cannot be built."""


class BuildError(Exception):
    """An app that cannot be built, and why."""
