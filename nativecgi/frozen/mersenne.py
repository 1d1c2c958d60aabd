"""Tells whether a Mersenne Twister was given a seed, from its state alone.

A generator that seeds itself takes all 624 words of its state from the kernel. One that is given a
seed spreads that over its state, which can be undone: the seed repeats in it. See init_genrand and
init_by_array in M. Matsumoto's and T. Nishimura's mt19937ar.c; CPython's _random and numpy's
legacy seeding are these.
"""

from collections.abc import Iterator, Sequence

_SIZE, _MIDDLE = 624, 397
_UPPER, _LOWER, _MATRIX = 0x80000000, 0x7FFFFFFF, 0x9908B0DF
_WORD = 0xFFFFFFFF
_INITIAL_SEED = 19650218  # of the state that init_by_array mixes a seed's words into
_LONGEST_SEED = _SIZE // 2  # words; it has to occur twice

# So many times a generator may have made 624 new words of its state. Each takes some 2 ms.
_MOST_BLOCKS = 1000


def is_given(key: Sequence[int], origin: Sequence[int] = ()) -> bool:
    """Whether a state's 624 words come from a seed of up to 312 words, and at most 1000 blocks ago.

    A block is 624 words that have been drawn, such as 312 floats. `origin` is the state with which
    the generator has seeded itself: where it is passed on the way back, there was no other seed.
    """
    block = [int(word) for word in key]
    first = [int(word) for word in origin[1:]]
    initial_block = list(_initial_block(_INITIAL_SEED))
    for _block in range(_MOST_BLOCKS):
        if block[1:] == first:
            return False
        if _is_from_word(block) or _is_from_words(block, initial_block):
            return True
        _untwist(block)
    return False


def _untwist(block: list[int]) -> None:
    """Turn the state back by one block; the lower 31 bits of its first word are lost."""
    for at in reversed(range(_SIZE)):
        upper = _undone(block, at)
        lower = _undone(block, at - 1)
        block[at] = upper & _UPPER | lower & _LOWER


def _undone(block: list[int], at: int) -> int:
    """The upper bit of a word and the lower bits of the next, of which the new one was made."""
    mixed = block[at] ^ block[(at + _MIDDLE) % _SIZE]
    is_odd = bool(mixed & _UPPER)
    return ((mixed ^ _MATRIX) << 1 | 1 if is_odd else mixed << 1) & _WORD


def _is_from_word(block: Sequence[int]) -> bool:
    """Whether each word is made of the one before (init_genrand). The first may be lost."""
    return all(block[at] == _next_word(block[at - 1], at) for at in range(2, _SIZE))


def _next_word(word: int, at: int) -> int:
    return (1812433253 * (word ^ word >> 30) + at) & _WORD


def _initial_block(seed: int) -> Iterator[int]:
    for at in range(_SIZE):
        yield seed
        seed = _next_word(seed, at + 1)


def _is_from_words(block: Sequence[int], initial_block: Sequence[int]) -> bool:
    """Whether what was mixed into the state repeats (init_by_array).

    A seed's words were added one after the other, again and again. What was added to the first
    three is lost: they were mixed twice.
    """
    mixed = [((block[at] + at) & _WORD) ^ _mix(block[at - 1], 1566083941) for at in range(3, _SIZE)]
    added = [
        (word - (initial ^ _mix(before, 1664525))) & _WORD
        for word, before, initial in zip(mixed[1:], mixed[:-1], initial_block[4:], strict=True)
    ]
    return any(added[length:] == added[:-length] for length in range(1, _LONGEST_SEED))


def _mix(word: int, factor: int) -> int:
    return (word ^ word >> 30) * factor & _WORD
