"""What a handler raises to answer with an error."""

from collections.abc import Iterable, Mapping


class HTTPError(Exception):
    """Raised anywhere under a handler, becomes the answer: `status`, and `message` as text.

    `message` is shown to the client; without one, the status's own phrase is.
    """

    def __init__(
        self,
        status: int,
        message: str = "",
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    ) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message
        self.headers = headers
