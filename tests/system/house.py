"""A house with two cameras: mosquitto, a daemon before drawn people, and a Home Assistant that hears it."""

from __future__ import annotations

import json
import re
import signal
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

BASE: Final = "posed/pi"
PATIENCE_S: Final = 120.0
"""How long anything may take on a busy machine, s."""

POLL_S: Final = 0.1


def camera(**more: Any) -> dict[str, Any]:
    """A camera of drawn people, a new one each time: YAML would write a reference to what comes twice."""
    return {"kind": "synthetic", "fps": 4, "size": [320, 240], **more}


SETTINGS: Final[dict[str, Any]] = {
    "device": "pi",
    "cameras": {
        "hall": camera(
            zones={"left": {"polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]]}},
            privacy={"pictures": "skeleton"},
        ),
        "bedroom": camera(source=5),
    },
    "model": {"name": "drawings-257x353-32"},
    "engine": {"kind": "cpu", "threads": 1},
    # The only falls are those of this check.
    "people": {"fall_confirm_s": 300},
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
        events: event.pi_hall_event
        gesture: both_hands_raised
        lights: {entity_id: light.check}
        service: light.turn_on
  - id: fall
    alias: fall
    use_blueprint:
      path: posed/notify_on_a_fall.yaml
      input:
        fall: binary_sensor.pi_hall_fall
        clear: button.pi_hall_clear_fall
        notifier: notify.persistent_notification
  - id: heating
    alias: heating
    use_blueprint:
      path: posed/heating_by_occupancy.yaml
      input:
        occupancy: binary_sensor.pi_hall_occupancy
        heating: {entity_id: climate.check}
        empty_minutes: 0
"""

Messages = Mapping[str, dict[str, Any]]
"""The last of each topic, by what follows `posed/pi/`."""


def on(value: bool) -> str:
    """As Home Assistant says it."""
    return "on" if value else "off"


Shown = Callable[[Messages], str]
"""What an entity shows, worked out from the daemon's messages."""


def of_state(topic: str, *path: str) -> Shown:
    """What a state has there, in Home Assistant's words."""

    def value(reported: Messages) -> str:
        found: Any = reported[topic]
        for name in path:
            found = found[name]
        return on(found) if isinstance(found, bool) else "unknown" if found is None else str(found)

    return value


def while_seen(topic: str, name: str) -> Shown:
    """The same of what is only there while people are."""

    def value(reported: Messages) -> str:
        return "unavailable" if reported[topic]["people"] is None else of_state(topic, name)(reported)

    return value


def of_machine() -> dict[str, Shown | None]:
    """What each entity of the machine shows, by its id; None where any value will do."""
    return {
        "select.pi_log_level": of_state("state", "settings", "log.level"),
        "button.pi_restart": None,
        "number.pi_poses_rate": of_state("state", "settings", "mqtt.poses.max_rate_hz"),
        "sensor.pi_inference": of_state("state", "engine", "inference_ms"),
        "sensor.pi_engine": of_state("state", "engine", "kind"),
        "sensor.pi_uptime": of_state("state", "uptime_s"),
        "sensor.pi_version": of_state("state", "version"),
    }


def of_camera(name: str) -> dict[str, Shown | None]:
    """The same of one camera, without zones and pictures."""
    state = f"{name}/state"
    return {
        f"binary_sensor.pi_{name}_occupancy": while_seen(state, "occupied"),
        f"sensor.pi_{name}_people": while_seen(state, "people"),
        f"sensor.pi_{name}_posture": while_seen(state, "posture"),
        f"sensor.pi_{name}_latency": while_seen(state, "latency_ms"),
        f"binary_sensor.pi_{name}_fall": of_state(f"{name}/fall", "fallen"),
        f"button.pi_{name}_clear_fall": None,
        f"button.pi_{name}_test_event": None,
        f"event.pi_{name}_event": None,
        f"switch.pi_{name}_pause": of_state(state, "paused"),
        f"number.pi_{name}_score_threshold": of_state(state, "settings", "decode.score_threshold"),
        f"number.pi_{name}_keypoint_threshold": of_state(state, "settings", "decode.keypoint_threshold"),
        f"sensor.pi_{name}_fps": of_state(state, "fps"),
        f"sensor.pi_{name}_status": of_state(state, "status"),
        f"sensor.pi_{name}_sight": of_state(state, "sight"),
        f"sensor.pi_{name}_dropped_frames": of_state(state, "dropped"),
    }


BEDROOM: Final = of_camera("bedroom")
ENTITIES: Final[dict[str, Shown | None]] = {
    **of_machine(),
    **of_camera("hall"),
    "binary_sensor.pi_hall_zone_left_occupancy": while_seen("hall/zones/left", "occupied"),
    "sensor.pi_hall_zone_left_people": while_seen("hall/zones/left", "people"),
    "image.pi_hall_snapshot": None,
    "button.pi_hall_take_snapshot": None,
    **BEDROOM,
}


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

    def happen(self, gesture: str, camera: str = "hall") -> None:
        """As the daemon tells it."""
        event_id, detail = f"01{time.monotonic_ns()}", {"gesture": gesture}
        reported = event(id=event_id, type="gesture", device="pi", camera=camera, detail=detail)
        self.watcher.publish(f"{BASE}/events", encode(reported))

    def say_empty(self) -> None:
        """Say in the daemon's place that nobody is in the hall."""
        state = self.reported()["hall/state"] | {"people": 0, "occupied": False, "posture": None}
        self.watcher.publish(f"{BASE}/hall/state", json.dumps(state).encode(), retain=True)

    def home_temperature(self) -> float:
        """What the thermostat is set to."""
        return float(self.home.states()["climate.check"]["attributes"]["temperature"])

    def leave_a_fall(self) -> None:
        """Write a fall in the hall as the last thing that the daemon did before it died."""
        spool = Spool(
            self.folder / "state" / "posed" / "spool.sqlite",
            sender=Sender.start("pi"),
            topics=Topics(BASE),
            broker=FakeBroker(full=True),
            config=MqttEventsConfig(),
            cameras=tuple(SETTINGS["cameras"]),
        )
        spool.start()
        spool.add(Occurrence("fall", time.time(), person=1, camera="hall"))
        assert spool.flush(PATIENCE_S)
        spool.stop(PATIENCE_S)

    def notified(self, title: str) -> str | None:
        """What the notification of this title says; None where Home Assistant shows none."""
        found = self.home.ask("persistent_notification/get")
        return next((one["message"] for one in found if one["title"] == title), None)

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
        names = [name for name in last if re.fullmatch(r"state|\w+/(state|fall|zones/\w+)", name)]
        return {name: json.loads(last[name] or b"null") for name in names}

    def setting(self, name: str, topic: str = "state") -> Any:
        """A setting as the daemon has it, for all cameras, or as a camera's state has it."""
        return self.reported()[topic]["settings"][name]

    def devices(self) -> dict[str, dict[str, Any]]:
        """The devices of Home Assistant, by their names."""
        return {one["name"]: one for one in self.home.ask("config/device_registry/list")}

    def registered(self) -> dict[str, dict[str, Any]]:
        """The entities that came by MQTT, by their ids."""
        entries = self.home.ask("config/entity_registry/list")
        return {entry["entity_id"]: entry for entry in entries if entry["platform"] == "mqtt"}

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

    def reload(self, settings: dict[str, Any]) -> None:
        """Make the daemon go on with other settings, as `systemctl reload` does."""
        assert self.daemon.process is not None
        self.daemon.config.write_text(yaml.safe_dump(settings), encoding="utf-8")
        self.daemon.process.send_signal(signal.SIGHUP)

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
