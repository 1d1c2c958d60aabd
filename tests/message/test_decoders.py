"""Decoders are made once, and for Structs before any request."""

from typing import Annotated, Any

import msgspec
import pytest

from nativecgi.message import decoders


class Point(msgspec.Struct):
    x: int


class Unready(msgspec.Struct):
    later: "NotYetDefined"  # type: ignore[name-defined]  # noqa: F821


@pytest.fixture(autouse=True)
def no_decoders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoders, "_decoders", {})


def test_a_decoder_decodes_to_its_type() -> None:
    assert decoders.decoder(Point).decode(b'{"x": 1}') == Point(1)


def test_a_decoder_is_made_once() -> None:
    assert decoders.decoder(list[int]) is decoders.decoder(list[int])


def test_a_type_that_cannot_be_a_key_is_decoded_to_all_the_same() -> None:
    unhashable = Annotated[int, msgspec.Meta(ge=1), ["a list"]]
    assert decoders.decoder(unhashable).decode(b"1") == 1


def test_preparing_makes_those_of_all_structs_that_can_be_decoded_to() -> None:
    decoders.prepare_decoders()
    prepared: dict[Any, Any] = decoders._decoders
    assert Point in prepared
    assert Unready not in prepared
