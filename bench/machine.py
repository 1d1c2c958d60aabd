"""The machine that benchmarks ran on, in words."""

import importlib.metadata
import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path


def description() -> dict[str, str]:
    """What there is to say of it, by subject."""
    return {
        "Date": f"{datetime.now(UTC):%Y-%m-%d}",
        "CPU": _cpu(),
        "Cores": str(os.cpu_count()),
        "Memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release()}",
        "Distribution": _distribution(),
        "C library": " ".join(platform.libc_ver()),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "Nuitka": _version("nuitka"),
    }


def _cpu() -> str:
    text = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", text, re.MULTILINE)
    name = model[1] if model else platform.machine()
    is_virtual = re.search(r"^flags\s*:.*\bhypervisor\b", text, re.MULTILINE)
    return f"{name} (virtual machine)" if is_virtual else name


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return "unknown"


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
