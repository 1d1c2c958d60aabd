"""What a request may cost."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

_KIB, _MIB = 1024, 1024 * 1024


class Limits(Struct, frozen=True, kw_only=True):
    """The limits on a request: a program passes its own to `run`.

    Each limit has a variable that overrides it in the server's environment: NATIVECGI_MAX_BODY,
    NATIVECGI_MAX_FORM, and so on.
    """

    # Of what is taken into memory, in bytes: a body that is read as a whole, and all text fields
    # of a form. 413 beyond.
    max_body: int = 16 * _MIB
    # Of a form with its uploads, which go to temporary files, in bytes. 413 beyond.
    max_form: int = 64 * _MIB
    # Of a form's fields and uploads together. 413 beyond.
    max_fields: int = 1000
    # Of a line in the header of a form's part, in bytes. 413 beyond.
    max_part_header: int = 4 * _KIB
    # Of the time that a handler takes, in seconds; 0 for no limit. 504 beyond.
    max_seconds: int = 0


DEFAULT_LIMITS = Limits()


def in_force(limits: Limits | None, env: Mapping[str, str]) -> Limits:
    """The program's limits, or the defaults, with those that `env` overrides.

    Raises ValueError if a variable is not a number.
    """
    changes = {
        name: number
        for name in Limits.__struct_fields__
        if (number := _from_variable(name, env)) is not None
    }
    return replace(limits or DEFAULT_LIMITS, **changes)


def _from_variable(name: str, env: Mapping[str, str]) -> int | None:
    variable = "NATIVECGI_" + name.upper()
    text = env.get(variable)
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"the variable {variable} of the environment is no number: {text!r}")
    return int(text)
