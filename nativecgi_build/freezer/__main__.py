"""`python -m nativecgi_build.freezer -o OUT -- PROGRAM ARGS...`: the freezer by itself."""

import argparse
import os
import signal
import sys
from pathlib import Path

import msgspec

from nativecgi_build.freezer.errors import FreezerError
from nativecgi_build.freezer.freeze import SECONDS, freeze
from nativecgi_build.freezer.watch import Trial


def main() -> int:
    """Freeze as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m nativecgi_build.freezer",
        description="Run PROGRAM until it stops itself with SIGSTOP, and write it, as it is "
        "then, as an executable file that goes on from there. The exit status is 1 where PROGRAM "
        "or this machine fails, 2 for wrong arguments, and 3 where PROGRAM holds what no file can.",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="the file to write")
    parser.add_argument(
        "-t", "--timeout", type=float, default=SECONDS, metavar="SECONDS",
        help="how long PROGRAM may take to stop itself (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "-e", "--env", action="append", default=[], metavar="NAME=VALUE",
        help="set a variable in PROGRAM's environment, which is empty otherwise",
    )  # fmt: skip
    parser.add_argument(
        "--trial", action="append", metavar="NAME=VALUE",
        help="run the new file once, with these variables as its environment, to learn which "
        "memory it writes to: a start is then faster",
    )  # fmt: skip
    parser.add_argument(
        "--also", action="append", default=[], type=_trial, metavar="JSON",
        help='another environment and standard input (in Base64), such as {"environment": {"A": '
        '"b"}, "input": "Yw=="}, to see with them, too, which memory a process touches',
    )  # fmt: skip
    parser.add_argument(
        "--forget", type=Path, action="append", default=[], metavar="FOLDER",
        help="a path to be replaced in the image by one that nobody can make",
    )  # fmt: skip
    parser.add_argument(
        "--debug", type=Path, metavar="FILE",
        help="write for a debugger what the image lacks: symbols and unwinding tables",
    )  # fmt: skip
    parser.add_argument(
        "--map", type=Path, metavar="FILE",
        help="write what the memory in the image was mapped from: a line each, bytes and a path",
    )  # fmt: skip
    parser.add_argument(
        "--native", action="store_true",
        help="let libraries choose by this machine's CPU: faster, on CPUs that have as much",
    )  # fmt: skip
    parser.add_argument(
        "--reproducible", metavar="SEED",
        help="have the image derive from PROGRAM and this text alone: the same again gives the "
        "same bytes, and who knows it knows all addresses and random values in them",
    )  # fmt: skip
    parser.add_argument(
        "--seed-file", type=Path, metavar="FILE",
        help="as --reproducible, with what is in FILE, for a seed that other users of this machine "
        "must not read among the arguments; /dev/stdin is a file, too",
    )  # fmt: skip
    parser.add_argument("command", nargs="+", metavar="PROGRAM", help="and its arguments")
    options = parser.parse_args()
    if options.reproducible is not None and options.seed_file is not None:
        parser.error("--reproducible and --seed-file both give the seed: leave out one")
    for number in (signal.SIGTERM, signal.SIGHUP):  # end in order, leaving nothing behind
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        result = freeze(
            options.command,
            options.output,
            environment=_variables(options.env),
            trial=None if options.trial is None else _variables(options.trial),
            also=options.also,
            forget=options.forget,
            debug=options.debug,
            map=options.map,
            native=options.native,
            seconds=options.timeout,
            seed=_seed(options.reproducible, options.seed_file),
        )
    except (FreezerError, OSError) as error:
        print(f"freezer: {error}", file=sys.stderr)
        return error.status if isinstance(error, FreezerError) else 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    sys.stderr.write(result.printed)
    if result.gain is not None:
        sys.stdout.buffer.write(msgspec.json.encode(result.gain))
    return 0


def _seed(text: str | None, file: Path | None) -> bytes | None:
    if file is not None:
        return file.read_bytes()
    return None if text is None else os.fsencode(text)


def _trial(text: str) -> Trial:
    """What an argument says; raises ValueError, which argparse reports."""
    return msgspec.json.decode(text, type=Trial)


def _variables(assignments: list[str]) -> dict[str, str]:
    return dict(assignment.partition("=")[::2] for assignment in assignments)


if __name__ == "__main__":
    sys.exit(main())
