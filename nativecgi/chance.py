"""Generators of random numbers, of which no two processes may have the same state."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType, ModuleType
from typing import Any
from weakref import WeakSet

# Those to which a program has given a seed: it wants their sequence in every process.
_seeded: "WeakSet[Any]" = WeakSet()
_LARGEST_SEED = 2**64


def watch() -> None:
    """Note from now on, in a build, which generators of `random` are given a seed."""
    import random

    seed = random.Random.seed

    def noted(self: random.Random, *arguments: Any, **named: Any) -> None:
        seed(self, *arguments, **named)
        given = arguments[0] if arguments else named.get("a")
        (_seeded.discard if given is None else _seeded.add)(self)

    noted.__wrapped__ = seed  # type: ignore[attr-defined]
    random.Random.seed = noted  # type: ignore[method-assign]


def self_seeded() -> list[Any]:
    """Every random.Random that has seeded itself; ends the watch.

    A `random` that nothing but the watch has imported is forgotten: whoever imports it in a
    process gets a new one.
    """
    import random

    random.Random.seed = random.Random.seed.__wrapped__  # type: ignore[attr-defined,method-assign]
    found = _generators(random.Random, random.SystemRandom)
    if not _is_used(random):
        del sys.modules["random"]
        found.remove(random._inst)
    return found


def _generators(kind: type, stateless: type) -> list[Any]:
    # type(), since an object may claim another class, or fail when it is asked for it.
    return [
        it
        for it in gc.get_objects()
        if issubclass(type(it), kind) and not issubclass(type(it), stateless) and it not in _seeded
    ]


def _is_used(module: ModuleType) -> bool:
    """Whether another module has `random`, or one of its functions: methods of one generator."""
    own = vars(module)
    generator = own["_inst"]
    held = [module, *(it for it in own.values() if getattr(it, "__self__", None) is generator)]
    for it in held:
        for holder in gc.get_referrers(it):
            known = holder is own or holder is sys.modules or holder is held
            if not known and not isinstance(holder, FrameType):
                return True
    return False


def numpy_renewals(module: ModuleType) -> Iterator[Callable[[], None]]:
    """For each generator of numpy.random that has seeded itself, what seeds it anew.

    numpy draws 128 bits for a seed, and does not tell them from bits that it was given: a given
    seed has to be below 2**64 to be kept.
    """
    for it in gc.get_objects():
        if issubclass(type(it), module.BitGenerator) and it.seed_seq is not None:
            entropy = it.seed_seq.entropy
            if isinstance(entropy, int) and entropy >= _LARGEST_SEED:
                yield partial(_renew_bits, it)


def _renew_bits(generator: Any) -> None:
    generator.state = type(generator)().state


def with_own_sequence(generate: Callable[[], tuple[bytes, int]]) -> Callable[[], tuple[bytes, int]]:
    """The function by which `uuid` asks libuuid for a UUID of version 1, with another sequence.

    libuuid draws a clock sequence when it is first used, and that may have been before the freeze:
    processes that ask in the same 100 ns would get the same. Each is to draw its own (RFC 9562
    6.3), below the two bits of the variant.
    """
    own: list[bytes] = []

    def generate_own() -> tuple[bytes, int]:
        uuid, is_safe = generate()
        if not own:
            own.append(os.urandom(2))
        high, low = own[0]
        return uuid[:8] + bytes((0x80 | high & 0x3F, low)) + uuid[10:], is_safe

    return generate_own


def renew_openssl(module: ModuleType, frozen: int) -> None:
    """Have OpenSSL's generator, of the module _ssl, seed itself anew.

    OpenSSL does so itself where the process id is another than it was (RAND(7)); it need not be
    another than that of the process `frozen`, in a container.
    """
    if os.getpid() == frozen:
        module.RAND_add(os.urandom(32), 0.0)
