"""JSON decoders by the type they decode to: making one takes longer than using it."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import msgspec

_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoder(type: Any) -> msgspec.json.Decoder[Any]:
    """The decoder for a type; raises TypeError where msgspec cannot decode to it."""
    try:
        return _decoders[type]
    except KeyError:
        made = _decoders[type] = msgspec.json.Decoder(type)
        return made
    except TypeError:  # a type that cannot be a key, such as one annotated with a list
        return msgspec.json.Decoder(type)


def prepare_decoders() -> None:
    """Make the decoders for all Structs there are, so that no request has to."""
    for struct in _subclasses(msgspec.Struct):
        with suppress(TypeError, NameError):  # no class to decode to, or its types are not ready
            decoder(struct)


def _subclasses(parent: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    for child in parent.__subclasses__():
        yield child
        yield from _subclasses(child)
