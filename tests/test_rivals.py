"""Two daemons of one name: who gives way."""

from __future__ import annotations

import pytest

from posed.mqtt.messages import encode, rfc3339
from posed.mqtt.rivals import Rival, Rivals
from tests.test_messages import state

NOW = 1_800_000_000.0


def told(run: str, uptime_s: int) -> bytes:
    return encode(state(run=run, time=rfc3339(NOW), uptime_s=uptime_s))


def rivals(uptime_s: float = 100, *, kept: bool = True) -> Rivals:
    ours = Rivals("bbbb", lambda: uptime_s, lambda: NOW)
    if kept:
        assert ours.heed(told("bbbb", 1)) is None
    return ours


@pytest.mark.parametrize(("uptime_s", "older"), [(500, True), (20, False)])
def test_the_younger_gives_way(uptime_s, older):
    assert rivals().heed(told("aaaa", uptime_s)) == Rival("aaaa", older)


@pytest.mark.parametrize(("run", "older"), [("aaaa", True), ("cccc", False)])
def test_two_that_started_together_agree_by_their_runs(run, older):
    assert rivals(100.9).heed(told(run, 100)) == Rival(run, older)


def test_what_a_run_before_has_left_is_no_rival():
    assert rivals(kept=False).heed(told("aaaa", 500)) is None


@pytest.mark.parametrize(
    "payload", [b"", b"{}", b"\xff", b"[" * 60000, b'{"run": 1}', b'{"run": "a", "time": "x"}']
)
def test_what_is_no_state_is_no_rival(payload):
    assert rivals().heed(payload) is None
