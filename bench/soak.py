"""`python -m bench.soak [PROGRAM]`: runs a program very often, to see whether it ever fails."""

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from bench import startup
from bench.errors import BenchError
from bench.programs import Program

_HELLO = Path(__file__).resolve().parent.parent / "dist/cgi-bin/hello"
_BATCH = 1000


def main() -> int:
    """Run as the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("program", nargs="?", type=Path, default=_HELLO, help="(default: hello)")
    parser.add_argument("--times", type=int, default=200_000, metavar="N", help="runs in all")
    parser.add_argument("--at-once", type=int, default=8, metavar="N", help="processes at a time")
    parser.add_argument("--answer", default="Hello world", help="has to be in each answer's body")
    options = parser.parse_args()
    program = Program("soak", options.program.resolve(), answer=options.answer.encode())
    started = time.monotonic()
    try:
        done = _soak(program, options.times, options.at_once)
    except BenchError as error:
        print(f"soak: {error}", file=sys.stderr)
        return 1
    print(
        f"{done:,} runs, {options.at_once} at once, {time.monotonic() - started:.0f} s: none failed"
    )
    return 0


def _soak(program: Program, times: int, at_once: int) -> int:
    """Run it so often; raises BenchError as soon as one of the processes has failed."""
    batches = [_BATCH] * (times // _BATCH) + [times % _BATCH]
    with ProcessPoolExecutor(at_once) as pool:
        pending = [pool.submit(_run, program, batch) for batch in batches]
        try:
            return sum(batch.result() for batch in as_completed(pending))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _run(program: Program, times: int) -> int:
    for _time in range(times):
        startup.run(program)
    return times


if __name__ == "__main__":
    sys.exit(main())
