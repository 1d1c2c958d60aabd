"""How paths are stored in a process's memory, and what replaces one that has to be forgotten."""

import os

# Replaces a forgotten path; its beginning, where the path is shorter.
_NOWHERE = "/proc/frozen"
# A path of this length or less cannot be replaced by one below /proc.
TOO_SHORT = len("/proc/")

# CPython keeps text in one, two or four bytes a character, as its widest character needs (PEP
# 393). A path may be part of wider text, so it is looked for in each width that can hold it.
_WIDTHS = {"latin-1": "\xff", "utf-16-le": "\uffff", "utf-32-le": "\U0010ffff"}


def encoded(path: str) -> list[bytes]:
    """The path as bytes and as CPython's text, each different form once."""
    return list(replacements(path))


def replacements(path: str) -> dict[bytes, bytes]:
    """Each form of a path in memory, and what to put in its place: below /proc, and as long."""
    old = os.fsencode(path)
    forms = {old: _filler(len(old)).encode()}
    for encoding, widest in _WIDTHS.items():
        if max(path) <= widest:
            # Bytes of a path that are not UTF-8 are lone surrogates in text (PEP 383).
            text = path.encode(encoding, "surrogatepass")
            forms.setdefault(text, _text_filler(path).encode(encoding))
    for form, filler in forms.items():
        if len(form) != len(filler):
            raise ValueError(f"{filler!r} would change the size of memory that holds {form!r}")
    return forms


def _filler(length: int) -> str:
    return _NOWHERE.ljust(length, "-")[:length]


def _text_filler(path: str) -> str:
    """As many characters, and the last as wide as the widest of the path.

    CPython relies on text in wide characters having one: text that does not compares unequal.
    """
    last = "-" if path.isascii() else next(w for w in _WIDTHS.values() if max(path) <= w)
    return _filler(len(path) - 1) + last
