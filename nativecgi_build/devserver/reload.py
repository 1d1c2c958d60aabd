"""Which files of an app `nativecgi run --reload` watches, and when one of them has changed."""

import sysconfig
from collections.abc import Iterable
from pathlib import Path
from threading import Event

from watchfiles import Change, watch

from nativecgi_build.build.app import App

_MILLISECONDS = 1000  # between two looks at what may have changed before the watch began
_COARSE = 10_000_000  # ns that the clock of a file system may be behind
_OTHERS = {"site-packages", "dist-packages", "__pycache__"}
_VOLATILE = ("/proc", "/sys", "/dev", "/run")


class Watch:
    """Watches an app. What it has read is known once it has come to its freeze point."""

    def __init__(self, app: App) -> None:
        source = app.source
        self._source = {*source.rglob("*.py")} if source.is_dir() else {source}
        self._read: set[Path] = set()

    def wait(self, files: Iterable[str], since: int, ended: Event) -> Path | None:
        """The first file to change of those read, or in their folders; None once it has `ended`.

        `since` is a time in nanoseconds: what has changed after it has changed. Without `files`,
        the app did not start: those count that it read when it last did.
        """
        self._read = {path for path in map(Path, files) if _is_own(path)} or self._read
        watched = self._read | self._source
        folders = {str(path.parent) for path in watched if path.parent.is_dir()}

        def is_one(_change: Change, path: str) -> bool:
            return Path(path) in watched or path.endswith(".py")

        for changes in watch(
            *folders,
            watch_filter=is_one,
            stop_event=ended,
            recursive=False,
            debounce=200,
            rust_timeout=_MILLISECONDS,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            if changes:
                return Path(min(path for _change, path in changes))
            for path in watched:
                if _touched(path) > since - _COARSE:
                    return path
        return None


def _is_own(path: Path) -> bool:
    """Whether a file is neither installed nor the system's."""
    system = (sysconfig.get_path("stdlib"), *_VOLATILE, str(Path(__file__).parents[2]))
    return not _OTHERS & {*path.parts} and not any(map(path.is_relative_to, system))


def _touched(path: Path) -> int:
    try:
        status = path.stat()
    except OSError:
        return 0
    return max(status.st_mtime_ns, status.st_ctime_ns)
