"""Why programs cannot be installed."""


class InstallError(Exception):
    """Programs that cannot be installed, and why; a second line says what to do."""
