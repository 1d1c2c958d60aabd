"""What tests of pools share: a pool that is ended after the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.pool.running import Pool, started


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Pool]]:
    """Starts a pool: `start("--spare=1", VARIABLE="value")`."""
    with ExitStack() as stack:
        yield lambda *options, **env: stack.enter_context(started(tmp_path, *options, env=env))
