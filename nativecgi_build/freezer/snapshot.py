"""A frozen process as data: what `capture` reads and `image` writes."""

from msgspec import Struct

Area = tuple[int, int]  # where it starts and ends, on whole pages


class Region(Struct, frozen=True):
    """Memory that the image restores, whole pages of it."""

    address: int
    permissions: str  # "r", "w" and "x", each or "-", as in /proc/PID/maps
    data: bytes

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + len(self.data)


class Reservation(Struct, frozen=True):
    """Memory that the thaw maps: all zeros, or not accessible at all ("---")."""

    address: int
    permissions: str
    size: int


# A system call's result that does not matter; as in thaw.S.
ANY_RESULT = 2**64 - 1


class SystemCall(Struct, frozen=True):
    """A system call that the thaw makes, and what it has to return.

    An argument of bytes is a structure, passed by its address.
    """

    number: int
    arguments: tuple[int | bytes, ...]
    expected: int = 0


class Letterbox(Struct, frozen=True):
    """Where the program wants its arguments and environment put (see docs/frozen.md)."""

    address: int
    size: int


class Canary(Struct, frozen=True):
    """The stack protector's, which every function checks that has put a copy into its frame."""

    address: int
    copies: tuple[int, ...]  # addresses, in calls that are not over


class Snapshot(Struct, frozen=True):
    """Everything that is kept of a process."""

    registers: dict[str, int]  # by the names of thaw.S's saved_ words
    memory: list[Region]
    reservations: list[Reservation]
    calls: list[SystemCall]
    interrupt_action: bytes | None  # SIGINT's handler, a struct kernel_sigaction
    environ_address: int
    curbrk_address: int
    tid_address: int
    id: int  # the process's, which no thawed one may have; 0 if none can
    letterbox: Letterbox | None
    canary: Canary


class Touch(Struct, frozen=True, order=True):
    """A page that a process is known to touch."""

    address: int
    is_written: bool
