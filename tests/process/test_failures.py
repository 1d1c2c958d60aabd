"""nativecgi.process.failures: what has led to an exception, in whatever way it is told."""

from itertools import pairwise

from nativecgi.process.failures import related


def chain(*failures: BaseException) -> BaseException:
    """Each the cause of the one before."""
    for failure, cause in pairwise(failures):
        failure.__cause__ = cause
    return failures[0]


def test_nothing_has_led_to_nothing() -> None:
    assert list(related(None)) == []


def test_an_exception_is_the_first_of_its_own() -> None:
    failure = LookupError()
    assert list(related(failure)) == [failure]


def test_causes_and_contexts_are_found_and_suppressed_ones_too() -> None:
    failure, cause, context = LookupError(), OSError(), ValueError()
    failure.__cause__, cause.__context__ = cause, context
    cause.__suppress_context__ = True
    assert list(related(failure)) == [failure, cause, context]


def test_what_is_in_groups_is_found() -> None:
    one, two, cause = LookupError(), SystemExit(), OSError()
    two.__cause__ = cause
    inner = BaseExceptionGroup("inner", [two])
    group = BaseExceptionGroup("outer", [one, inner])
    assert list(related(group)) == [group, one, inner, two, cause]


def test_a_circle_has_an_end() -> None:
    one, two = LookupError(), OSError()
    chain(one, two, one)
    assert list(related(one)) == [one, two]


def test_an_exception_may_be_its_own_cause() -> None:
    failure = LookupError()
    chain(failure, failure)
    assert list(related(failure)) == [failure]


def test_exceptions_that_are_equal_are_not_the_same() -> None:
    class Equal(Exception):
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, _other: object) -> bool:
            return True

    one, two = Equal(), Equal()
    assert len(list(related(chain(one, two)))) == 2


def test_a_long_chain_is_no_recursion() -> None:
    assert len(list(related(chain(*(LookupError() for _ in range(10_000)))))) == 10_000
