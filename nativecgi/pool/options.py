"""The options of a pool: on the command line, and as variables of the environment."""

import argparse
import os
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn

from msgspec import Struct

Gateway = Literal["fastcgi"]
Isolation = Literal["request", "process"]

_FEWEST_PROCESSES = 4


class Options(Struct, frozen=True):
    """How a pool is run. The names are those of the command line, where "_" is written "-"."""

    gateway: Gateway
    address: str | None  # None: the listening socket is inherited
    mode: str  # of a unix socket, as octal text
    owner: str | None  # of a unix socket: "user" or "user:group"
    processes: int  # that there are at most
    spare: int  # that are kept ready, as with php-fpm's pm = dynamic; 0 is its pm = ondemand
    isolation: Isolation  # whether each request has a process of its own
    max_requests: int  # of a process; 0: any number
    idle_timeout: float  # seconds until a process beyond `spare` ends that has nothing to do
    request_timeout: float  # seconds until a process is killed that is still busy; 0: never
    grace: float  # seconds that running requests have after SIGTERM
    log: str | None  # the file that standard error goes to; None: it stays as it is


class _Setting(Struct, frozen=True):
    """An option that has a variable, too."""

    name: str
    convert: Callable[[str], object]  # raises ValueError, which says what is allowed
    default: str | None
    metavar: str
    help: str

    @property
    def variable(self) -> str:
        return f"NATIVECGI_{self.name.upper()}"

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")


def parse(arguments: list[str], env: Mapping[str, str]) -> Options:
    """The options in `arguments`, which are those behind the program's name, and in `env`.

    An option wins over the variable of the same name. A wrong value ends the process (SystemExit,
    status 2) with a message that names the option or the variable and says what is allowed; so
    does --help, with status 0.
    """
    settings = _settings()
    parser = _parser(settings)
    given: dict[str, Any] = vars(parser.parse_args(arguments))
    gateway, address = _gateway(parser, given, env)
    values = {setting.name: _value(parser, setting, given, env) for setting in settings}
    return Options(gateway=gateway, address=address, **values)


def _settings() -> tuple[_Setting, ...]:
    processes = max(2 * len(os.sched_getaffinity(0)), _FEWEST_PROCESSES)
    at_least_0, at_least_1 = _number_from(0), _number_from(1)
    return (
        _Setting("mode", _mode, "660", "MODE", "mode of a unix socket, in octal"),
        _Setting("owner", _owner, None, "USER[:GROUP]", "owner of a unix socket"),
        _Setting(
            "processes", at_least_1, str(processes), "N", "the most workers that there may be"
        ),
        _Setting(
            *("spare", at_least_0, "2", "N"),
            "workers that are kept ready for the next requests; with 0, one is started only when a "
            "request waits",
        ),
        _Setting(
            *("isolation", _isolation, "request", "KIND"),
            '"request": each request has a process of its own; "process": a worker answers one '
            "request after the other",
        ),
        _Setting(
            *("max_requests", at_least_0, "0", "N"),
            "requests that a worker answers before another takes its place; 0: any number",
        ),
        _Setting(
            *("idle_timeout", _seconds, "10", "SECONDS"),
            "how long a worker beyond --spare may have nothing to do",
        ),
        _Setting(
            *("request_timeout", _seconds, "0", "SECONDS"),
            "how long a request may take, before its worker is killed; 0: for ever",
        ),
        _Setting(
            *("grace", _seconds, "30", "SECONDS"),
            "how long running requests may still take after SIGTERM",
        ),
        _Setting(
            *("log", _path, None, "FILE"),
            "file that errors are appended to, instead of standard error; SIGUSR1 reopens it",
        ),
    )


def _parser(settings: tuple[_Setting, ...]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Serve this program from a pool of worker processes. As a CGI program, with a "
        "request in its environment, it takes no options.",
        epilog="ADDRESS is HOST:PORT, :PORT, [IPv6]:PORT or the path of a unix socket. Without it, "
        "the listening socket is the one that systemd passes on, or standard input.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--fastcgi",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="serve FastCGI there (NATIVECGI_FASTCGI)",
    )
    for setting in settings:
        default = "" if setting.default is None else f", default {setting.default}"
        parser.add_argument(
            setting.option,
            type=_for_argparse(setting.convert),
            metavar=setting.metavar,
            help=f"{setting.help} ({setting.variable}{default})",
        )
    return parser


def _for_argparse(convert: Callable[[str], object]) -> Callable[[str], object]:
    """The same, but with the exception whose message argparse shows."""

    def converted(text: str) -> object:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return converted


def _gateway(
    parser: argparse.ArgumentParser, given: Mapping[str, Any], env: Mapping[str, str]
) -> tuple[Gateway, str | None]:
    """The gateway and its address."""
    address = env.get("NATIVECGI_FASTCGI") if given["fastcgi"] is None else given["fastcgi"]
    if address is None:
        _fail(parser, "--fastcgi is needed")
    return "fastcgi", address or None


def _value(
    parser: argparse.ArgumentParser,
    setting: _Setting,
    given: Mapping[str, Any],
    env: Mapping[str, str],
) -> Any:
    if given[setting.name] is not None:
        return given[setting.name]
    if setting.variable not in env:
        return None if setting.default is None else setting.convert(setting.default)
    try:
        return setting.convert(env[setting.variable])
    except ValueError as error:
        _fail(parser, f"{setting.variable}: {error}")


def _fail(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    parser.error(message)


# --- what values may be ---


def _number_from(least: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        # int() would take "1_000" and " 1 " as well.
        if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) < least:
            raise ValueError(f"{text!a} is no whole number from {least} to 999999")
        return int(text)

    return number


def _seconds(text: str) -> float:
    if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        raise ValueError(f"{text!a} is no number of seconds, such as 30 or 0.5")
    return float(text)


def _mode(text: str) -> str:
    if not re.fullmatch(r"0?[0-7]{3}", text):
        raise ValueError(f"{text!a} is no mode of three octal digits, such as 660")
    return text


def _owner(text: str) -> str:
    if not re.fullmatch(r"[^:\s]+(:[^:\s]+)?", text):
        raise ValueError(f"{text!a} is neither USER nor USER:GROUP")
    return text


def _isolation(text: str) -> str:
    if text not in ("request", "process"):
        raise ValueError(f'{text!a} is neither "request" nor "process"')
    return text


def _path(text: str) -> str:
    if not text:
        raise ValueError("the path of a file is needed")
    return text
