"""What a handler raises to answer with an error."""

from collections.abc import Iterable, Mapping


def require_status(status: int) -> None:
    """Raise TypeError or ValueError where it is not the status code of an answer."""
    if not isinstance(status, int):
        raise TypeError(f"a status is an int, not {type(status).__name__}")
    # A server takes 1xx for itself, and a program's status has three digits (RFC 3875 6.3.3).
    if not 200 <= status <= 599:
        raise ValueError(f"{status} is not the status of an answer: 200 to 599 are")


class HTTPError(Exception):
    """Raised anywhere under a handler, becomes the answer: `status`, and `message` as text.

    `message` is shown to the client; without one, the status's own phrase is.

    Raises TypeError or ValueError where `status` is not one that a program can answer with.
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
    """The client has gone before its request was complete: 400.

    It is an OSError too, by which web frameworks know that a client has gone.
    """

    def __init__(self) -> None:
        super().__init__(400, "The body is shorter than announced.")

    def __str__(self) -> str:
        """What the client is told."""
        return self.message
