"""What a build draws at random: from the kernel, or from a seed and then the same every time."""

import hashlib
import secrets


class Chance:
    """A source of random values; one with a seed gives the same in the same order."""

    def __init__(self, seed: bytes | None = None) -> None:
        self.is_seeded = seed is not None
        self._seed = seed
        self._drawn = 0

    def bytes(self, size: int) -> bytes:
        """Draw `size` bytes."""
        if self._seed is None:
            return secrets.token_bytes(size)
        self._drawn += 1
        return hashlib.shake_256(self._drawn.to_bytes(8, "little") + self._seed).digest(size)

    def below(self, limit: int) -> int:
        """Draw a number from 0 up to but not `limit`."""
        # 16 bytes: of numbers up to 2^64, none is likelier than another by more than 2^-64.
        return int.from_bytes(self.bytes(16), "little") % limit
