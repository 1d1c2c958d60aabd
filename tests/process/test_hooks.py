"""nativecgi.process.hooks: what is to be done around the freeze point."""

import pytest

from nativecgi import after_thaw, before_freeze
from nativecgi.process import hooks


@pytest.fixture(autouse=True)
def _no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_before_freeze", [])
    monkeypatch.setattr(hooks, "_after_thaw", [])


@pytest.fixture
def calls() -> list[str]:
    return []


def test_before_freeze_runs_the_last_registered_first(calls: list[str]) -> None:
    before_freeze(lambda: calls.append("first"))
    before_freeze(lambda: calls.append("second"))
    hooks.run_before_freeze()
    assert calls == ["second", "first"]


def test_after_thaw_runs_the_first_registered_first(calls: list[str]) -> None:
    after_thaw(lambda: calls.append("first"))
    after_thaw(lambda: calls.append("second"))
    hooks.run_after_thaw()
    assert calls == ["first", "second"]


def test_a_hook_runs_at_its_own_point_only(calls: list[str]) -> None:
    before_freeze(lambda: calls.append("before"))
    after_thaw(lambda: calls.append("after"))
    hooks.run_before_freeze()
    assert calls == ["before"]


def test_registering_runs_nothing(calls: list[str]) -> None:
    before_freeze(lambda: calls.append("before"))
    after_thaw(lambda: calls.append("after"))
    assert calls == []


def test_a_decorated_function_stays_what_it_was() -> None:
    def close() -> int:
        return 7

    assert before_freeze(close) is close
    assert after_thaw(close) is close


def test_a_function_can_be_registered_for_both(calls: list[str]) -> None:
    @before_freeze
    @after_thaw
    def note() -> None:
        calls.append("called")

    hooks.run_before_freeze()
    hooks.run_after_thaw()
    assert calls == ["called", "called"]


def test_what_a_hook_raises_is_not_hidden() -> None:
    @after_thaw
    def connect() -> None:
        raise ConnectionError("no database")

    with pytest.raises(ConnectionError, match="no database"):
        hooks.run_after_thaw()


def test_without_hooks_nothing_happens() -> None:
    hooks.run_before_freeze()
    hooks.run_after_thaw()
