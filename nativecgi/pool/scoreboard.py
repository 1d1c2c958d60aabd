"""The scoreboard: what each worker is doing, in memory that workers write and the manager reads.

It is a memfd with a record for each worker's slot. Both sides use pread(2) and pwrite(2): for a
worker that answers one request, they cost less than a mapping.
"""

import os
import struct
import time
from enum import IntEnum

from msgspec import Struct

# Aligned and no longer than what is copied at once: since, state, served.
_RECORD = struct.Struct("=QII")


class State(IntEnum):
    """What a worker is doing."""

    STARTING = 0  # it has not come to wait for its first connection
    IDLE = 1  # it waits for a connection
    BUSY = 2  # it has accepted one
    ENDING = 3  # it has answered its last one


class Record(Struct, frozen=True):
    """What the scoreboard has of a worker."""

    state: State
    since: int  # when it came into this state: nanoseconds of CLOCK_MONOTONIC
    served: int  # requests that it has answered


class Scoreboard:
    """The scoreboard that a descriptor is of."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def write(self, slot: int, state: State, served: int = 0) -> None:
        """Note that the worker in a slot has come into a state just now."""
        record = _RECORD.pack(time.monotonic_ns(), state, served & 0xFFFF_FFFF)
        os.pwrite(self.descriptor, record, slot * _RECORD.size)

    def read(self, slot: int) -> Record:
        """What the worker in a slot has noted last."""
        data = os.pread(self.descriptor, _RECORD.size, slot * _RECORD.size)
        since, state, served = _RECORD.unpack(data)
        # Whatever an app has done to it: the manager, which reads it, is everybody's.
        return Record(State(min(state, State.ENDING)), since, served)


def create(slots: int) -> Scoreboard:
    """A scoreboard for so many workers. Programs that are executed do not inherit it."""
    descriptor = os.memfd_create("nativecgi-scoreboard")
    os.ftruncate(descriptor, slots * _RECORD.size)
    return Scoreboard(descriptor)
