"""What a handler raises to answer with an error."""

from collections.abc import Iterable, Mapping


def require_status(status: int) -> None:
    """Raise TypeError or ValueError if it is not the status code of an answer."""
    if not isinstance(status, int):
        raise TypeError(f"a status is an int, not {type(status).__name__}")
    # A server takes 1xx for itself, and a program's status has three digits (RFC 3875 6.3.3).
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is not the status of an answer: 200 to 599 are")


class HTTPError(Exception):
    """An exception that becomes the answer if it is raised anywhere below a handler.

    The answer has the status `status`, and `message` as its text. Without a message, it has the
    status's phrase.

    Raises TypeError or ValueError if a program cannot answer with `status`.
    """

    def __init__(
        self,
        status: int,
        message: str = "",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        require_status(status)
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = headers


class IncompleteBodyError(HTTPError, OSError):
    """The client disconnected before its request was complete: 400.

    It is also an OSError, by which web frameworks recognise that a client has disconnected.
    """

    def __init__(self) -> None:
        super().__init__(400, "The body is shorter than announced.")

    def __str__(self) -> str:
        """What the client is told."""
        return self.message
