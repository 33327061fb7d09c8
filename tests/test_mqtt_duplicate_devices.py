"""Two daemons of one name: who gives way."""

from __future__ import annotations

import pytest

from posed.messages.structs import encode, rfc3339
from posed.mqtt.duplicate_devices import DuplicateDevice, DuplicateDeviceDetector
from scripts.standins.messages import state

NOW = 1_800_000_000.0


def received(run: str, uptime_s: int) -> bytes:
    return encode(state(run=run, time=rfc3339(NOW), uptime_s=uptime_s))


def detector(uptime_s: float = 100, *, kept: bool = True) -> DuplicateDeviceDetector:
    ours = DuplicateDeviceDetector("bbbb", lambda: uptime_s, lambda: NOW)
    if kept:
        assert ours.check(received("bbbb", 1)) is None
    return ours


@pytest.mark.parametrize(("uptime_s", "older"), [(500, True), (104, True), (96, False), (20, False)])
def test_the_younger_gives_way(uptime_s, older):
    assert detector().check(received("aaaa", uptime_s)) == DuplicateDevice("aaaa", older)


@pytest.mark.parametrize("uptime_s", [98, 100, 102])
@pytest.mark.parametrize(("run", "older"), [("aaaa", True), ("cccc", False)])
def test_two_that_started_together_agree_by_their_runs(run, older, uptime_s):
    assert detector(100.5).check(received(run, uptime_s)) == DuplicateDevice(run, older)


@pytest.mark.parametrize("apart_s", [tenths / 10 + 0.05 for tenths in range(50)])
@pytest.mark.parametrize("runs", [("aaaa", "bbbb"), ("bbbb", "aaaa")])
def test_exactly_one_of_two_daemons_gives_way_in_time(runs, apart_s):
    """By any of the other's states, whose uptimes are cut to whole seconds."""
    older, younger = runs
    began_s = {older: NOW - 100, younger: NOW - 100 + apart_s}

    def gives_way(run: str, other: str) -> bool:
        ours = DuplicateDeviceDetector(run, lambda: NOW + 1 - began_s[run], lambda: NOW + 1)
        ours.check(received(run, 1))
        times_s = [NOW + number / 50 for number in range(50)]
        states = [state(run=other, time=rfc3339(at), uptime_s=int(at - began_s[other])) for at in times_s]
        return any(ours.check(encode(one)).older for one in states)

    assert gives_way(older, younger) + gives_way(younger, older) == 1


def test_what_a_run_before_has_left_is_no_duplicate():
    assert detector(kept=False).check(received("aaaa", 500)) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"\xff",
        b"[" * 60000,
        b'{"run": 1}',
        b'{"run": "a", "time": "x"}',
        received("a" * 65, 500),
    ],
)
def test_what_is_no_state_is_no_duplicate(payload):
    assert detector().check(payload) is None


def test_a_state_from_before_our_start_is_no_duplicates() -> None:
    ours = DuplicateDeviceDetector("bbbb", lambda: 60, lambda: NOW)
    ours.check(encode(state(run="bbbb", time=rfc3339(NOW), uptime_s=60)))
    old = encode(state(run="aaaa", time=rfc3339(NOW - 90), uptime_s=600))
    assert ours.check(old) is None
    alive = encode(state(run="aaaa", time=rfc3339(NOW - 20), uptime_s=600))
    assert ours.check(alive) == DuplicateDevice("aaaa", older=True)


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_no_time_of_a_state_stops_anything(time: str) -> None:
    ours = DuplicateDeviceDetector("bbbb", lambda: 60, lambda: NOW)
    ours.check(encode(state(run="bbbb", time=rfc3339(NOW), uptime_s=60)))
    ours.check(f'{{"run": "x", "time": "{time}", "uptime_s": 1}}'.encode())
