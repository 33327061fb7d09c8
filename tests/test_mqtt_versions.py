"""Which version of MQTT is tried after what."""

from __future__ import annotations

import pytest

from posed.mqtt.attempt import ConnectOutcome, How
from posed.mqtt.versions import VersionChoice

REFUSED = ConnectOutcome(How.VERSION_REFUSED, "refuses MQTT 5")


def test_auto_tries_the_other_version_at_once_and_then_waits() -> None:
    versions = VersionChoice("auto")
    tried = [(versions.version, versions.is_probe)]
    at_once = []
    for _ in range(3):
        at_once.append(versions.fall_back(REFUSED))
        tried.append((versions.version, versions.is_probe))
    assert at_once == [True, False, True]
    assert tried == [("5", True), ("3.1.1", False), ("5", True), ("3.1.1", False)]


@pytest.mark.parametrize("how", [How.UNREACHABLE, How.REFUSED, How.LOST])
def test_other_failures_leave_the_version_alone(how: How) -> None:
    versions = VersionChoice("auto")
    assert not versions.fall_back(ConnectOutcome(how, "gone"))
    assert versions.version == "5"


def test_an_accepted_version_is_certain_until_it_is_refused() -> None:
    versions = VersionChoice("auto")
    versions.accept()
    assert not versions.is_uncertain
    versions.fall_back(REFUSED)
    assert versions.is_uncertain


def test_a_configured_version_is_certain_and_stays() -> None:
    versions = VersionChoice("3.1.1")
    assert not versions.is_uncertain
    assert not versions.fall_back(REFUSED)
    assert versions.version == "3.1.1"
