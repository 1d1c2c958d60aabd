"""What a request prints to sys.stderr, for the log of the server that has sent it."""

import io
from collections.abc import Callable


class Stderr(io.TextIOBase):
    """A text stream that passes on whole lines, and when it is flushed, what there is."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._line = ""

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, text: str) -> int:
        """Take text; complete lines go on at once."""
        lines, newline, self._line = (self._line + text).rpartition("\n")
        if newline:
            self._send(lines + newline)
        return len(text)

    def flush(self) -> None:
        """Pass on the beginning of a line."""
        if self._line:
            text, self._line = self._line, ""
            self._send(text)
