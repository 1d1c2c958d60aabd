"""Random number generators: no two processes may have one in the same state."""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType, ModuleType
from typing import Any
from weakref import WeakSet

from nativecgi.frozen import mersenne

# Those to which a program has given a seed or a state: it wants their sequence in every process.
_given: "WeakSet[Any]" = WeakSet()
# What getstate has told of others. Whoever sets it again wants no sequence of their own.
_own_states: set[int] = set()
_LARGEST_SEED = 2**64


def watch() -> None:
    """Note from now on, in a build, which generators of `random` are given a seed or a state."""
    import random

    seed, getstate, setstate = (getattr(random.Random, name) for name in _WATCHED)

    def noted_seed(self: random.Random, *arguments: Any, **named: Any) -> None:
        seed(self, *arguments, **named)
        given = arguments[0] if arguments else named.get("a")
        (_given.discard if given is None else _given.add)(self)

    def noted_getstate(self: random.Random) -> Any:
        state = getstate(self)
        if self not in _given:
            _own_states.add(hash(state))
        return state

    def noted_setstate(self: random.Random, state: Any) -> None:
        setstate(self, state)
        (_given.discard if hash(state) in _own_states else _given.add)(self)

    for name, noted in zip(_WATCHED, (noted_seed, noted_getstate, noted_setstate), strict=True):
        noted.__wrapped__ = getattr(random.Random, name)  # type: ignore[attr-defined]
        setattr(random.Random, name, noted)
    # The module's function is a method of its generator, and has been since before the watch.
    random.getstate = random._inst.getstate


_WATCHED = ("seed", "getstate", "setstate")


def self_seeded() -> list[Any]:
    """Every generator of `random` and `_random` that has seeded itself; ends the watch.

    A `random` that nothing but the watch has imported is forgotten: whoever imports it in a
    process gets a new one.
    """
    import random

    for name in _WATCHED:
        setattr(random.Random, name, getattr(random.Random, name).__wrapped__)
    random.getstate = random._inst.getstate
    found = list(_self_seeded(random))
    if not _is_used(random):
        del sys.modules["random"]
        found.remove(random._inst)
    return found


def _generators(random: ModuleType) -> Iterator[Any]:
    # type(), since an object may claim another class, or fail when it is asked for it.
    base = random.Random.__base__
    for it in gc.get_objects():
        if issubclass(type(it), base) and not issubclass(type(it), random.SystemRandom):
            yield it
    if not base.__flags__ & _IS_TRACKED:
        yield from _untracked(base)


_IS_TRACKED = 1 << 14  # Py_TPFLAGS_HAVE_GC


def _untracked(kind: type) -> Iterator[Any]:
    """Objects of a type that the garbage collector does not list: what it lists refers to them.

    It does not list dictionaries and tuples either in which there are only such objects. Modules
    are not asked, as their dictionaries are listed: in Python 3.12 that of asyncio's C code also
    refers to objects that are free, which would be freed once more.
    """
    found: dict[int, Any] = {}
    holders = [it for it in gc.get_objects() if type(it) is not ModuleType]
    passed = set[int]()
    while holders:
        for it in gc.get_referents(holders.pop()):
            if type(it) is kind:
                found[id(it)] = it
            elif type(it) in (dict, tuple) and not gc.is_tracked(it) and id(it) not in passed:
                passed.add(id(it))
                holders.append(it)
    yield from found.values()


def _self_seeded(random: ModuleType) -> Iterator[Any]:
    for it in _generators(random):
        if issubclass(type(it), random.Random):
            if it not in _given:
                yield it
        elif not mersenne.is_given(it.getstate()[:-1]):
            yield it


def _is_used(module: ModuleType) -> bool:
    """Whether another module has `random`, or one of its functions: methods of one generator."""
    own = vars(module)
    generator = own["_inst"]
    held = [module, *(it for it in own.values() if getattr(it, "__self__", None) is generator)]
    for it in held:
        for holder in gc.get_referrers(it):
            known = holder is own or holder is sys.modules or holder is held
            if not known and type(holder) is not FrameType:
                return True
    return False


def numpy_renewals(module: ModuleType) -> Iterator[Callable[[], None]]:
    """Functions that reseed the generators of numpy.random that have seeded themselves.

    numpy draws 128 bits for a seed, and does not tell them from bits that it was given: a given
    seed has to be below 2**64 to be kept. Of a Mersenne Twister, which may be seeded without numpy
    keeping the seed (numpy.random.seed), or be given a state, the state itself tells.
    """
    found = [it for it in gc.get_objects() if issubclass(type(it), module.BitGenerator)]
    states = [it for it in gc.get_objects() if issubclass(type(it), module.RandomState)]
    for generator in found:
        if _has_seeded(generator, module.MT19937):
            yield partial(_renew_bits, generator)
            for state in states:
                if state._bit_generator is generator:
                    yield partial(_renew_normals, state)


def _has_seeded(generator: Any, twister: type) -> bool:
    """Whether it has seeded itself."""
    sequence = generator.seed_seq
    if sequence is not None:
        entropy = sequence.entropy
        if not isinstance(entropy, int) or entropy < _LARGEST_SEED:
            return False
    if not issubclass(type(generator), twister):
        return sequence is not None
    origin = () if sequence is None else twister(sequence).state["state"]["key"]
    return not mersenne.is_given(generator.state["state"]["key"], origin)


def _renew_bits(generator: Any) -> None:
    generator.state = type(generator)().state


def _renew_normals(state: Any) -> None:
    """Drop the second of two normal numbers that were made at once."""
    state.set_state({**state.get_state(legacy=False), "has_gauss": 0, "gauss": 0.0})


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
