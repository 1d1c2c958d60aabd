"""Tells systemd how the service is doing (sd_notify(3))."""

import os
import socket
import time
from contextlib import suppress

VARIABLE = "NOTIFY_SOCKET"


def notify(*lines: str) -> None:
    """Send assignments such as "READY=1", if somebody wants to know. Raises nothing."""
    address = os.environ.get(VARIABLE, "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # in the abstract name space (unix(7))
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto("\n".join(lines).encode(), address)


def notify_reloading() -> None:
    """Say that the configuration is read anew; READY=1 says that this is done."""
    # systemd compares it with when it has asked for it (Type=notify-reload).
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
