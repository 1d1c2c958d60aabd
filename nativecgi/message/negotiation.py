"""Content negotiation (RFC 9110 12): which of several options a client prefers."""

import re
from collections.abc import Iterator, Sequence

_WEIGHT = re.compile(r"[01]?(?:\.[0-9]{0,3})?")


def best_match(field: str, offers: Sequence[str]) -> str | None:
    """The one of `offers` that an Accept field rates highest, the first of equals.

    None where it accepts none of them. Without a field all are accepted. Offers are media types
    without parameters; to them a range with some applies where there is none without.
    """
    if not field.strip():
        return offers[0] if offers else None
    ranges = list(_ranges(field))
    best, best_quality = None, 0.0
    for offer in offers:
        quality = _quality(ranges, offer.lower())
        if quality > best_quality:
            best, best_quality = offer, quality
    return best


def _ranges(field: str) -> Iterator[tuple[str, float]]:
    for item in field.split(","):
        media_range, *parameters = (part.strip().lower() for part in item.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _separator, value = parameter.partition("=")
            if name.strip() == "q":
                quality = _weight(value.strip())
            elif not media_range.endswith(";"):
                media_range += ";"  # how `_quality` tells it from the same without parameters
        yield media_range, quality


def _weight(text: str) -> float:
    """RFC 9110 12.4.2: 0 to 1 with three decimals; a malformed weight counts as none.

    But .2 is 0.2: Java's HttpURLConnection writes it in every request.
    """
    return min(float(f"0{text}"), 1.0) if _WEIGHT.fullmatch(text) else 0.0


def _quality(ranges: list[tuple[str, float]], offer: str) -> float:
    """That of the most specific range that covers the offer (RFC 9110 12.5.1)."""
    for pattern in (offer, offer + ";", offer.partition("/")[0] + "/*", "*/*"):
        qualities = [quality for media_range, quality in ranges if media_range == pattern]
        if qualities:
            return max(qualities)
    return 0.0
