"""Why a benchmark cannot be trusted or run."""


class BenchError(Exception):
    """A program, a server or a tool did not do as it should; the message says what to do."""
