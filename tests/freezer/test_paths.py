"""What replaces a path in memory is as long as the path, in each form that a path has there."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nativecgi_build.freezer import paths

# As os.fsdecode gives them: any text, and bytes that are not UTF-8 as lone surrogates.
names = st.binary(min_size=paths.TOO_SHORT).filter(lambda name: 0 not in name).map(os.fsdecode)
any_path = (names | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))).map(
    lambda name: f"/home/{name}"
)


@given(any_path)
def test_each_form_is_replaced_by_one_as_long(path: str) -> None:
    for old, new in paths.replacements(path).items():
        assert len(old) == len(new)
        assert old != new


@given(any_path)
def test_bytes_are_replaced_by_a_path_that_nobody_can_make(path: str) -> None:
    assert paths.replacements(path)[os.fsencode(path)].startswith(b"/proc/")


@pytest.mark.parametrize(
    ("path", "encodings"),
    [
        ("/home/ann", ["utf-8", "utf-16-le", "utf-32-le"]),
        ("/home/j\xf6rg", ["utf-8", "latin-1", "utf-16-le", "utf-32-le"]),
        ("/home/\u0430\u043d\u043d\u0430", ["utf-8", "utf-16-le", "utf-32-le"]),
        ("/home/\U0001f40d", ["utf-8", "utf-32-le"]),
    ],
)
def test_the_forms_are_bytes_and_text_of_each_width_that_holds_it(
    path: str, encodings: list[str]
) -> None:
    assert paths.encoded(path) == [path.encode(encoding) for encoding in encodings]


@given(any_path)
def test_text_keeps_its_width(path: str) -> None:
    """CPython takes two texts for different if they are not equally wide."""
    *_others, (old, new) = paths.replacements(path).items()
    assert width(old.decode("utf-32-le", "surrogatepass")) == width(new.decode("utf-32-le"))


def width(text: str) -> int:
    """The widest character that CPython could add without storing the text otherwise."""
    return next(limit for limit in (0x7F, 0xFF, 0xFFFF, 0x10FFFF) if ord(max(text)) <= limit)
