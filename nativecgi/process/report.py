"""The error log: what a failure was, in lines that nothing a client sends can forge."""

import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import suppress

# Control characters, which a line of the log must not have: those of ASCII and of ISO 6429, and
# Unicode's ends of lines.
_ESCAPED = {
    number: f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"
    for number in (*range(32), *range(127, 160), 0x2028, 0x2029)
}


def log(text: str) -> None:
    """Write to the error log, if there is one and it has room."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)


def report(failure: BaseException, env: Mapping[str, str], note: str = "") -> str:
    """One line that names the request and the failure, and the traceback after it, indented.

    What comes from the client cannot make it look like another line of the log. Raises nothing:
    of an exception that `traceback` cannot show there is what can be had.
    """
    path = env.get("SCRIPT_NAME", "") + env.get("PATH_INFO", "")
    request = ascii(f"{env.get('REQUEST_METHOD')} {path}")[1:-1]
    try:
        summary = "".join(traceback.format_exception_only(failure)).strip()
        trace = "".join(traceback.format_exception(failure)).split("\n")
    except Exception as another:  # an attribute of the failure's own class has failed, say
        summary = type(failure).__name__
        trace = [
            f"its traceback cannot be shown: {type(another).__name__}",
            *_functions(failure),
        ]
    lines = [f"nativecgi: {request}: {ascii(summary)[1:-1]}{note}"]
    lines += [f"  {line.translate(_ESCAPED)}" for line in trace if line]
    return "\n".join(lines) + "\n"


def _functions(failure: BaseException) -> Iterator[str]:
    """The functions that an exception has passed through, without any of its own text."""
    trace = failure.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        yield f'  File "{code.co_filename}", line {trace.tb_lineno}, in {code.co_name}'
        trace = trace.tb_next
