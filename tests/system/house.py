"""A house with one camera: mosquitto, the daemon before drawn people, and a Home Assistant that hears it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from posed.config import MqttEventsConfig
from posed.messages.structs import Sender, encode
from posed.messages.topics import Topics
from posed.mqtt.spool import Spool
from posed.pipeline.occurrence import Occurrence
from scripts.standins.messages import event
from tests.broker_fake import FakeBroker
from tests.brokers import Mosquitto, Subscriber
from tests.run_posed import Daemon
from tests.system.homeassistant import HomeAssistant

BASE: Final = "posed/hall"
PATIENCE_S: Final = 120.0
"""How long anything may take on a busy machine, s."""

POLL_S: Final = 0.1

SETTINGS: Final[dict[str, Any]] = {
    "device": "hall",
    "camera": {"kind": "synthetic", "fps": 4, "size": [320, 240]},
    "model": {"name": "drawings-257x353-32"},
    "engine": {"kind": "cpu", "threads": 1},
    # The only falls are those of this check.
    "people": {"zones": {"left": {"polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}}, "fall_confirm_s": 300},
    "privacy": {"pictures": "skeleton"},
}

CONFIGURATION: Final = """
homeassistant: {name: Check, unit_system: metric, time_zone: UTC, country: DE, currency: EUR}
logger: {default: warning}
config:
notify:
input_boolean: {lamp: , heater: }
template:
  - light:
      - name: Check
        state: "{{ is_state('input_boolean.lamp', 'on') }}"
        turn_on: {action: input_boolean.turn_on, target: {entity_id: input_boolean.lamp}}
        turn_off: {action: input_boolean.turn_off, target: {entity_id: input_boolean.lamp}}
  - sensor: [{name: Room, state: "19", unit_of_measurement: °C, device_class: temperature}]
climate:
  - {platform: generic_thermostat, name: Check, heater: input_boolean.heater, target_sensor: sensor.room,
     target_temp: 19, min_temp: 5, max_temp: 30, initial_hvac_mode: heat}
automation:
  - id: hand
    alias: hand
    use_blueprint:
      path: posed/light_on_a_raised_hand.yaml
      input:
        events: event.hall_event
        gesture: both_hands_raised
        lights: {entity_id: light.check}
        service: light.turn_on
  - id: fall
    alias: fall
    use_blueprint:
      path: posed/notify_on_a_fall.yaml
      input:
        fall: binary_sensor.hall_fall
        clear: button.hall_clear_fall
        notifier: notify.persistent_notification
  - id: heating
    alias: heating
    use_blueprint:
      path: posed/heating_by_occupancy.yaml
      input: {occupancy: binary_sensor.hall_occupancy, heating: {entity_id: climate.check}, empty_minutes: 0}
"""

Messages = Mapping[str, dict[str, Any]]
"""The last of each topic, by what follows `posed/hall/`."""


def on(value: bool | None) -> str:
    """As Home Assistant says it."""
    return "unavailable" if value is None else "on" if value else "off"


def number(value: float | None) -> str:
    """As Home Assistant says it."""
    return "unavailable" if value is None else str(value)


# What each entity shows: its id, and its value by the daemon's messages; None where any will do.
ENTITIES: Final[dict[str, Callable[[Messages], str] | None]] = {
    "binary_sensor.hall_occupancy": lambda reported: on(reported["state"]["occupied"]),
    "sensor.hall_people": lambda reported: number(reported["state"]["people"]),
    "sensor.hall_posture": lambda reported: known(reported, reported["state"]["posture"]),
    "binary_sensor.hall_zone_left_occupancy": lambda reported: on(reported["zones/left"]["occupied"]),
    "sensor.hall_zone_left_people": lambda reported: number(reported["zones/left"]["people"]),
    "binary_sensor.hall_fall": lambda reported: on(reported["fall"]["fallen"]),
    "button.hall_clear_fall": None,
    "button.hall_test_event": None,
    "event.hall_event": None,
    "switch.hall_pause": lambda reported: on(reported["state"]["paused"]),
    "select.hall_log_level": lambda reported: reported["state"]["settings"]["log.level"],
    "button.hall_restart": None,
    "number.hall_score_threshold": lambda reported: number(
        reported["state"]["settings"]["decode.score_threshold"]
    ),
    "number.hall_keypoint_threshold": lambda reported: number(
        reported["state"]["settings"]["decode.keypoint_threshold"]
    ),
    "number.hall_poses_rate": lambda reported: number(
        reported["state"]["settings"]["mqtt.poses.max_rate_hz"]
    ),
    "sensor.hall_fps": lambda reported: number(reported["state"]["fps"]),
    "sensor.hall_inference": lambda reported: known(reported, reported["state"]["engine"]["inference_ms"]),
    "sensor.hall_latency": lambda reported: known(reported, reported["state"]["latency_ms"]),
    "sensor.hall_engine": lambda reported: reported["state"]["engine"]["kind"],
    "sensor.hall_camera": lambda reported: reported["state"]["camera"]["status"],
    "sensor.hall_sight": lambda reported: reported["state"]["camera"]["sight"] or "unknown",
    "sensor.hall_dropped_frames": lambda reported: number(reported["state"]["dropped"]["camera"]),
    "sensor.hall_uptime": lambda reported: number(reported["state"]["uptime_s"]),
    "sensor.hall_version": lambda reported: reported["state"]["version"],
    "image.hall_snapshot": None,
    "button.hall_take_snapshot": None,
}


def known(reported: Messages, value: float | str | None) -> str:
    """What is only there while people are."""
    return (
        "unavailable" if reported["state"]["people"] is None else "unknown" if value is None else str(value)
    )


@dataclass(frozen=True)
class House:
    """All that runs, and what the tests ask of it.

    Args:
        folder: of the daemon.
        broker: between both.
        watcher: hears everything.
        daemon: with `settings`.
        home: Home Assistant.
        settings: of the daemon.
    """

    folder: Path
    broker: Mosquitto
    watcher: Subscriber
    daemon: Daemon
    home: HomeAssistant
    settings: dict[str, Any]

    def missing(self) -> list[str]:
        """Entities that are not there, or not available."""
        states = self.home.states()
        return [
            entity
            for entity in ENTITIES
            if entity not in states or (states[entity]["state"] == "unavailable" and not self.blind(entity))
        ]

    def blind(self, entity: str) -> bool:
        """Whether it is right that it is unavailable."""
        value = ENTITIES[entity]
        return value is not None and value(self.reported()) == "unavailable"

    def wrong(self) -> list[str]:
        """Entities that do not show what the daemon said last, or before where it speaks meanwhile."""
        before, states, after = self.reported(), self.home.states(), self.reported()
        wrong = []
        for entity, value in ENTITIES.items():
            shown = states.get(entity, {"state": "not there"})["state"]
            if value is not None and not any(same(shown, value(reported)) for reported in (before, after)):
                wrong.append(f"{entity} is {shown}, not {value(after)}")
        return wrong

    def happen(self, gesture: str) -> None:
        """As the daemon tells it."""
        reported = event(id=f"01{time.monotonic_ns()}", type="gesture", detail={"gesture": gesture})
        self.watcher.publish(f"{BASE}/events", encode(reported))

    def say_empty(self) -> None:
        """Say in the daemon's place that nobody is there."""
        state = self.reported()["state"] | {"people": 0, "occupied": False, "posture": None}
        self.watcher.publish(f"{BASE}/state", json.dumps(state).encode(), retain=True)

    def home_temperature(self) -> float:
        """What the thermostat is set to."""
        return float(self.home.states()["climate.check"]["attributes"]["temperature"])

    def leave_a_fall(self) -> None:
        """Write a fall as the last thing that the daemon did before it died."""
        spool = Spool(
            self.folder / "state" / "posed" / "spool.sqlite",
            sender=Sender.start("hall"),
            topics=Topics(BASE),
            broker=FakeBroker(full=True),
            config=MqttEventsConfig(),
        )
        spool.start()
        spool.add(Occurrence("fall", time.time(), person=1))
        assert spool.flush(PATIENCE_S)
        spool.stop(PATIENCE_S)

    def notified(self, title: str) -> bool:
        """Whether Home Assistant shows a notification of this title."""
        found = self.home.ask("persistent_notification/get")
        return any(one["title"] == title for one in found)

    def announced(self, topic: str) -> bool:
        """Whether the broker keeps a message of discovery on a topic."""
        return bool((self.watcher.payloads(f"homeassistant/{topic}") or [b""])[-1])

    def name_of(self, entity: str) -> str | None:
        """The name that its owner gave an entity."""
        entries = {entry["entity_id"]: entry for entry in self.home.ask("config/entity_registry/list")}
        return entries[entity]["name"]

    def reported(self) -> Messages:
        """The last message of each topic."""
        last = {
            message.topic.removeprefix(f"{BASE}/"): message.payload for message in list(self.watcher.messages)
        }
        names = [name for name in last if name in {"state", "fall"} or name.startswith("zones/")]
        return {name: json.loads(last[name] or b"null") for name in names}

    def setting(self, name: str) -> Any:
        """A setting as the daemon has it."""
        return self.reported()["state"]["settings"][name]

    def shows(self, entity: str) -> str:
        """The state of an entity."""
        return str(self.home.states()[entity]["state"])

    def attribute(self, entity: str, name: str) -> Any:
        """An attribute of an entity; None where it has none."""
        return self.home.states()[entity]["attributes"].get(name)

    def wait_for(self, entity: str, attribute: str, value: object) -> None:
        """Wait until an entity's attribute has a value."""
        self.wait(lambda: self.attribute(entity, attribute) == value, f"{entity} does not become {value}")

    def wait(
        self, condition: Callable[[], object], why: str, more: Callable[[], object] | None = None
    ) -> None:
        """Until it holds; what is not there yet makes no difference."""
        give_up_at = time.monotonic() + PATIENCE_S
        while True:
            with suppress(KeyError):
                if condition():
                    return
            assert time.monotonic() < give_up_at, why.format(more and more())
            time.sleep(POLL_S)

    def all_right(self) -> None:
        """Wait until every entity is there and shows what it should."""
        self.wait(lambda: not self.missing(), "missing: {}", self.missing)
        self.wait(lambda: not self.wrong(), "wrong: {}", self.wrong)

    @contextmanager
    def configured(self, settings: dict[str, Any]) -> Iterator[None]:
        """The daemon with other settings, and with its own again."""
        try:
            for wanted in (settings, self.settings):
                self.daemon.stop(within_s=PATIENCE_S)
                self.daemon.config.write_text(yaml.safe_dump(wanted), encoding="utf-8")
                self.daemon.start()
                if wanted is settings:
                    yield
        finally:
            self.daemon.config.write_text(yaml.safe_dump(self.settings), encoding="utf-8")


def same(one: str, other: str) -> bool:
    """Whether both are the same, however they are written where they are numbers."""
    with suppress(ValueError):
        return abs(float(one) - float(other)) < 1e-6
    return one == other
