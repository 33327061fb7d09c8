"""Looks at the daemon as a real Home Assistant sees it, over its own API. Run by scripts/check_homeassistant.

    check_homeassistant.py CHROOT

mosquitto, the daemon with drawn people, and the Home Assistant in the chroot are started, each of them
restarted in turn, and steered from Home Assistant's side. What an entity should show is worked out from the
daemon's own messages. Prints a table: what was looked at, how it went, and how long it took.

Exit status: 0 every check passed, 1 one failed.
"""

from __future__ import annotations

import json
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "scripts"))

import cv2  # noqa: E402
import numpy as np  # noqa: E402
import yaml  # noqa: E402
from homeassistant import HomeAssistant  # noqa: E402

from posed import __version__  # noqa: E402
from posed.config import MqttEventsConfig  # noqa: E402
from posed.mqtt.messages import Sender, encode  # noqa: E402
from posed.mqtt.spool import Occurrence, Spool  # noqa: E402
from posed.mqtt.topics import Topics  # noqa: E402
from tests.brokers import Mosquitto, Subscriber, free_port  # noqa: E402
from tests.run_posed import Daemon, posed  # noqa: E402
from tests.test_messages import event  # noqa: E402

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
    "binary_sensor.hall_occupancy": lambda told: on(told["state"]["occupied"]),
    "sensor.hall_people": lambda told: number(told["state"]["people"]),
    "sensor.hall_posture": lambda told: known(told, told["state"]["posture"]),
    "binary_sensor.hall_zone_left_occupancy": lambda told: on(told["zones/left"]["occupied"]),
    "sensor.hall_zone_left_people": lambda told: number(told["zones/left"]["people"]),
    "binary_sensor.hall_fall": lambda told: on(told["fall"]["fallen"]),
    "button.hall_clear_fall": None,
    "button.hall_test_event": None,
    "event.hall_event": None,
    "switch.hall_pause": lambda told: on(told["state"]["paused"]),
    "select.hall_log_level": lambda told: told["state"]["settings"]["log.level"],
    "button.hall_restart": None,
    "number.hall_score_threshold": lambda told: number(told["state"]["settings"]["decode.score_threshold"]),
    "number.hall_keypoint_threshold": lambda told: number(
        told["state"]["settings"]["decode.keypoint_threshold"]
    ),
    "number.hall_poses_rate": lambda told: number(told["state"]["settings"]["mqtt.poses.max_rate_hz"]),
    "sensor.hall_fps": lambda told: number(told["state"]["fps"]),
    "sensor.hall_inference": lambda told: known(told, told["state"]["engine"]["inference_ms"]),
    "sensor.hall_latency": lambda told: known(told, told["state"]["latency_ms"]),
    "sensor.hall_engine": lambda told: told["state"]["engine"]["kind"],
    "sensor.hall_camera": lambda told: told["state"]["camera"]["status"],
    "sensor.hall_sight": lambda told: told["state"]["camera"]["sight"] or "unknown",
    "sensor.hall_dropped_frames": lambda told: number(told["state"]["dropped"]["camera"]),
    "sensor.hall_uptime": lambda told: number(told["state"]["uptime_s"]),
    "sensor.hall_version": lambda told: told["state"]["version"],
    "image.hall_snapshot": None,
    "button.hall_take_snapshot": None,
}


def known(told: Messages, value: float | str | None) -> str:
    """What is only there while people are."""
    return "unavailable" if told["state"]["people"] is None else "unknown" if value is None else str(value)


def main() -> int:
    """Go through all checks; returns the exit status."""
    root = Path(sys.argv[1])
    with tempfile.TemporaryDirectory(prefix="posed-homeassistant-") as kept:
        folder = Path(kept)
        home = HomeAssistant(root, free_port(), CONFIGURATION, ROOT / "config" / "homeassistant")
        with Mosquitto(folder) as broker, home, Subscriber(broker.port) as watcher:
            # Poses are not for Home Assistant.
            mqtt = {"host": "127.0.0.1", "port": broker.port, "poses": {"publish": "off"}}
            settings = SETTINGS | {"mqtt": mqtt}
            with Daemon(folder, settings) as daemon:
                check = Check(folder, broker, watcher, daemon, home, settings)
                return check.run()


class Check:
    """All that runs, and what is looked at in turn."""

    def __init__(  # noqa: PLR0913, PLR0917 - all that there is
        self,
        folder: Path,
        broker: Mosquitto,
        watcher: Subscriber,
        daemon: Daemon,
        home: HomeAssistant,
        settings: dict[str, Any],
    ) -> None:
        self._folder = folder
        self._broker = broker
        self._watcher = watcher
        self._daemon = daemon
        self._home = home
        self._settings = settings
        self._failed = 0

    def run(self) -> int:
        """Returns the exit status."""
        for name in (
            "home_assistant_starts_and_takes_mqtt",
            "every_entity_is_there",
            "names_classes_units_and_categories",
            "every_value_is_right",
            "values_follow",
            "automations_are_loaded",
            "a_raised_hand_switches_the_light",
            "the_heating_follows_occupancy",
            "a_number_works",
            "a_select_works",
            "the_switch_pauses_and_resumes",
            "a_snapshot_comes",
            "a_test_event_is_sent",
            "the_restart_button_works",
            "the_killed_daemon_is_unavailable",
            "a_fall_is_told_and_cleared",
            "all_returns_after_the_broker",
            "all_returns_after_home_assistant",
            "a_zone_less_is_entities_less",
            "entities_move_to_components_and_back",
            "forgotten_is_gone",
            "nothing_to_complain_of",
        ):
            self._try(name)
        return 1 if self._failed else 0

    def _try(self, name: str) -> None:
        began_at = time.monotonic()
        try:
            detail = getattr(self, f"_{name}")() or ""
            verdict = "ok"
        except Exception as error:  # noqa: BLE001 - whatever it is, the others are looked at
            self._failed += 1
            detail, verdict = str(error) or traceback.format_exc(), "FAILED"
        took_s = time.monotonic() - began_at
        print(f"{name.replace('_', ' '):45} {verdict:6} {took_s:6.1f} s  {detail}", flush=True)

    # What is looked at

    def _home_assistant_starts_and_takes_mqtt(self) -> str:
        self._home.start()
        self._home.onboard()
        self._home.add_mqtt(self._broker.port)
        return self._home.call("GET", "/api/config")["version"]

    def _every_entity_is_there(self) -> str:
        self._wait(lambda: not self._missing(), "missing: {}", self._missing)
        entries = [one for one in self._home.ask("config/entity_registry/list") if one["platform"] == "mqtt"]
        more = {one["entity_id"] for one in entries} - ENTITIES.keys()
        assert not more, f"not expected: {sorted(more)}"
        devices = {one["device_id"] for one in entries}
        assert len(devices) == 1, f"they belong to {len(devices)} devices"
        ids = [one["unique_id"] for one in entries]
        assert all(one.startswith("posed_hall_") for one in ids), ids
        return f"{len(entries)}"

    def _missing(self) -> list[str]:
        """Entities that are not there, or not available."""
        states = self._home.states()
        return [
            entity
            for entity in ENTITIES
            if entity not in states or (states[entity]["state"] == "unavailable" and not self._blind(entity))
        ]

    def _blind(self, entity: str) -> bool:
        """Whether it is right that it is unavailable."""
        value = ENTITIES[entity]
        return value is not None and value(self._told()) == "unavailable"

    def _names_classes_units_and_categories(self) -> str:
        (device,) = (one for one in self._home.ask("config/device_registry/list") if one["name"] == "hall")
        assert (device["manufacturer"], device["sw_version"]) == ("posed", __version__), device
        entries = {one["entity_id"]: one for one in self._home.ask("config/entity_registry/list")}
        states = self._home.states()
        bare = [
            entity
            for entity in ENTITIES
            if not (entries[entity]["original_name"] and entries[entity]["has_entity_name"])
        ]
        assert not bare, f"without a name: {bare}"
        for entity, wanted in {
            "binary_sensor.hall_occupancy": {"device_class": "occupancy"},
            "binary_sensor.hall_fall": {"device_class": "safety"},
            "sensor.hall_people": {"state_class": "measurement"},
            "sensor.hall_latency": {"device_class": "duration", "unit_of_measurement": "ms"},
            "sensor.hall_uptime": {"device_class": "duration", "unit_of_measurement": "s"},
            "button.hall_restart": {"device_class": "restart"},
            "number.hall_score_threshold": {"min": 0.01, "max": 0.99},
        }.items():
            has = {name: states[entity]["attributes"].get(name) for name in wanted}
            assert has == wanted, f"{entity} has {has}, not {wanted}"
        for entity, category in {
            "sensor.hall_people": None,
            "switch.hall_pause": None,
            "number.hall_score_threshold": "config",
            "select.hall_log_level": "config",
            "sensor.hall_fps": "diagnostic",
            "sensor.hall_version": "diagnostic",
        }.items():
            has = entries[entity]["entity_category"]
            assert has == category, f"{entity} is of category {has}, not {category}"
        return f"{device['manufacturer']} {device['model']}"

    def _every_value_is_right(self) -> str:
        self._wait(lambda: not self._wrong(), "wrong: {}", self._wrong)
        states = self._home.states()
        return ", ".join(f"{one.partition('hall_')[2]} {states[one]['state']}" for one in list(ENTITIES)[:4])

    def _wrong(self) -> list[str]:
        """Entities that do not show what the daemon said last, or before where it speaks meanwhile."""
        before, states, after = self._told(), self._home.states(), self._told()
        wrong = []
        for entity, value in ENTITIES.items():
            shown = states.get(entity, {"state": "not there"})["state"]
            if value is not None and not any(same(shown, value(told)) for told in (before, after)):
                wrong.append(f"{entity} is {shown}, not {value(after)}")
        return wrong

    def _values_follow(self) -> str:
        """Until the number of people has changed three times; each has to be seen."""
        changes, slowest_s = 0, 0.0
        people = self._told()["state"]["people"]
        give_up_at = time.monotonic() + 2 * PATIENCE_S
        while changes < 3:
            assert time.monotonic() < give_up_at, f"the number of people changed {changes} times only"
            now = self._told()["state"]["people"]
            if now == people:
                time.sleep(POLL_S)
                continue
            changes, people, began_at = changes + 1, now, time.monotonic()
            self._wait(
                lambda: (
                    self._shows("sensor.hall_people") == ENTITIES["sensor.hall_people"](self._told())  # type: ignore[misc]
                ),
                "the number of people does not follow",
            )
            slowest_s = max(slowest_s, time.monotonic() - began_at)
        return f"3 changes of people, seen within {slowest_s:.2f} s"

    def _automations_are_loaded(self) -> str:
        states = self._home.states()
        found = {one: state["state"] for one, state in states.items() if one.startswith("automation.")}
        wanted = {f"automation.{one}": "on" for one in ("hand", "fall", "heating")}
        assert found == wanted, found
        return ", ".join(found)

    def _a_raised_hand_switches_the_light(self) -> None:
        assert self._shows("light.check") == "off"
        # Between the names of two events of which each is one, the first may be the last's.
        self._happen("left_hand_raised")
        self._wait_for("event.hall_event", "event_type", "left_hand_raised")
        assert self._shows("light.check") == "off", "another gesture than the wanted one switched the light"
        self._happen("both_hands_raised")
        self._wait(lambda: self._shows("light.check") == "on", "the light stays off")

    def _happen(self, gesture: str) -> None:
        """As the daemon tells it."""
        told = event(id=f"01{time.monotonic_ns()}", type="gesture", detail={"gesture": gesture})
        self._watcher.publish(f"{BASE}/events", encode(told))

    def _the_heating_follows_occupancy(self) -> str:
        seen = set()
        give_up_at = time.monotonic() + 2 * PATIENCE_S
        while seen != {"on", "off"}:
            assert time.monotonic() < give_up_at, f"occupancy was only ever {seen}"
            state = self._shows("binary_sensor.hall_occupancy")
            if state not in {"on", "off"} - seen:
                time.sleep(POLL_S)
                # Nobody wants to wait until the drawn room happens to be empty.
                if seen == {"on"}:
                    self._say_empty()
                continue
            wanted = {"on": 21, "off": 17}[state]
            if self._home_temperature() == wanted:
                seen.add(state)
        return "21 °C with somebody there, 17 °C without"

    def _say_empty(self) -> None:
        state = self._told()["state"] | {"people": 0, "occupied": False, "posture": None}
        self._watcher.publish(f"{BASE}/state", json.dumps(state).encode(), retain=True)

    def _home_temperature(self) -> float:
        return float(self._home.states()["climate.check"]["attributes"]["temperature"])

    def _a_number_works(self) -> str:
        number_of = "number.hall_score_threshold"
        self._home.service("number.set_value", entity_id=number_of, value=0.31)
        self._wait(lambda: self._setting("decode.score_threshold") == 0.31, "the daemon does not take it")
        self._wait(lambda: self._shows(number_of) == "0.31", "Home Assistant does not show it")
        return "score threshold 0.31"

    def _a_select_works(self) -> str:
        self._home.service("select.select_option", entity_id="select.hall_log_level", option="warning")
        self._wait(lambda: self._setting("log.level") == "warning", "the daemon does not take it")
        self._wait(
            lambda: self._shows("select.hall_log_level") == "warning", "Home Assistant does not show it"
        )
        self._home.service("select.select_option", entity_id="select.hall_log_level", option="info")
        self._wait(lambda: self._shows("select.hall_log_level") == "info", "it does not return")
        return "log level warning, and info again"

    def _the_switch_pauses_and_resumes(self) -> str:
        self._home.service("switch.turn_on", entity_id="switch.hall_pause")
        self._wait(lambda: self._told()["state"]["paused"], "the daemon does not pause")
        self._wait(lambda: self._shows("switch.hall_pause") == "on", "the switch does not show it")
        self._wait(lambda: self._shows("sensor.hall_people") == "unavailable", "people are still shown")
        self._wait(lambda: self._shows("sensor.hall_camera") == "paused", "the camera is not shown as paused")
        assert self._shows("binary_sensor.hall_fall") != "unavailable", (
            "a pause hides that somebody has fallen"
        )
        self._home.service("switch.turn_off", entity_id="switch.hall_pause")
        self._wait(lambda: self._shows("switch.hall_pause") == "off", "the daemon does not resume")
        self._wait(lambda: self._shows("sensor.hall_people").isdigit(), "people are not shown again")
        return "meanwhile people are unavailable, and a fall is not"

    def _a_snapshot_comes(self) -> str:
        before = self._shows("image.hall_snapshot")
        self._home.service("button.press", entity_id="button.hall_take_snapshot")
        self._wait(lambda: self._shows("image.hall_snapshot") != before, "the image does not change")
        shown = self._home.picture("/api/image_proxy/image.hall_snapshot")
        image = cv2.imdecode(np.frombuffer(shown, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None, "what comes is no picture"
        height, width, _ = image.shape
        return f"JPEG of {width}×{height}"

    def _a_test_event_is_sent(self) -> str:
        self._home.service("button.press", entity_id="button.hall_test_event")
        self._wait(lambda: self._attribute("event.hall_event", "test") is True, "no event comes")
        kind = self._attribute("event.hall_event", "event_type")
        assert self._shows("binary_sensor.hall_fall") == "off", "a test counts as a fall"
        return f"event {kind}, and nobody has fallen"

    def _the_restart_button_works(self) -> str:
        run = self._told()["state"]["run"]
        self._home.service("button.press", entity_id="button.hall_restart")

        def begun() -> bool:
            assert self._daemon.process is not None
            if self._daemon.process.poll() is not None:  # what runs it starts it again, and here that is us
                self._daemon.start()
            return bool(self._told()["state"]["run"] != run)

        self._wait(begun, "it has not started again")
        self._all_right()
        kept = self._setting("decode.score_threshold")
        assert kept == 0.31, f"the number that was set is {kept} now"
        return "and the number that was set is kept"

    def _the_killed_daemon_is_unavailable(self) -> str:
        began_at = time.monotonic()
        self._daemon.stop(signal.SIGKILL)

        def left() -> list[str]:
            states = self._home.states()
            return [one for one in ENTITIES if states[one]["state"] != "unavailable"]

        self._wait(lambda: not left(), "still available: {}", left)
        return f"all {len(ENTITIES)}, within {time.monotonic() - began_at:.1f} s"

    def _a_fall_is_told_and_cleared(self) -> str:
        """Of a fall that was the last thing the daemon wrote before it died."""
        self._leave_a_fall()
        self._daemon.start()
        self._all_right()
        self._wait(lambda: self._shows("binary_sensor.hall_fall") == "on", "the fall does not show")
        self._wait(lambda: self._notified("Somebody has fallen"), "no notification")
        answer = "posed_clear_binary_sensor_hall_fall"
        self._home.call("POST", "/api/events/mobile_app_notification_action", {"action": answer})
        self._wait(lambda: self._shows("binary_sensor.hall_fall") == "off", "it is not cleared")
        self._wait(lambda: self._notified("The fall is over"), "no second notification")
        return "by the notification's answer"

    def _leave_a_fall(self) -> None:
        spool = Spool(
            self._folder / "state" / "posed" / "spool.sqlite",
            sender=Sender.start("hall"),
            topics=Topics(BASE),
            deliver=lambda *_, **__: False,
            config=MqttEventsConfig(),
        )
        spool.start()
        spool.add(Occurrence("fall", time.time(), person=1))
        assert spool.flush(PATIENCE_S)
        spool.stop(PATIENCE_S)

    def _notified(self, title: str) -> bool:
        found = self._home.ask("persistent_notification/get")
        return any(one["title"] == title for one in found)

    def _all_returns_after_the_broker(self) -> str:
        self._broker.stop()
        self._wait(lambda: self._shows("sensor.hall_people") == "unavailable", "nobody notices")
        del self._watcher.messages[:]
        self._broker.start()
        began_at = time.monotonic()
        self._all_right()
        return f"within {time.monotonic() - began_at:.0f} s, from a broker without memory"

    def _all_returns_after_home_assistant(self) -> str:
        self._home.stop()
        self._home.start()
        began_at = time.monotonic()
        self._all_right()
        return f"within {time.monotonic() - began_at:.0f} s of its start"

    def _a_zone_less_is_entities_less(self) -> str:
        zone = {one for one in ENTITIES if "zone_left" in one}
        with self._configured(self._settings | {"people": {"fall_confirm_s": 300}}):
            self._wait(lambda: not zone & self._home.states().keys(), "they are still there")
            entries = {one["entity_id"] for one in self._home.ask("config/entity_registry/list")}
            assert not zone & entries, "they are still in the registry"
        self._all_right()
        return "and back again"

    def _entities_move_to_components_and_back(self) -> str:
        named = "sensor.hall_people"
        self._home.ask("config/entity_registry/update", entity_id=named, name="Guests")
        with self._configured(self._settings | {"homeassistant": {"discovery": "components"}}):
            self._wait(lambda: self._announced("sensor/posed_hall/people/config"), "it is not announced so")
            self._wait(lambda: not self._announced("device/posed_hall/config"), "the old message stays")
            self._all_right()
            assert self._name_of(named) == "Guests", "an entity's own name is lost"
        self._wait(lambda: self._announced("device/posed_hall/config"), "it is not announced as a device")
        self._wait(lambda: not self._announced("sensor/posed_hall/people/config"), "an old message stays")
        self._all_right()
        assert self._name_of(named) == "Guests", "an entity's own name is lost on the way back"
        return "entities keep the names that their owner gave them"

    def _announced(self, topic: str) -> bool:
        return bool((self._watcher.payloads(f"homeassistant/{topic}") or [b""])[-1])

    def _name_of(self, entity: str) -> str | None:
        entries = {one["entity_id"]: one for one in self._home.ask("config/entity_registry/list")}
        return entries[entity]["name"]  # type: ignore[no-any-return]

    def _forgotten_is_gone(self) -> str:
        self._daemon.stop(within_s=PATIENCE_S)
        done = posed(self._folder, "mqtt", "forget", "--config", self._daemon.config, timeout_s=PATIENCE_S)
        assert done.returncode == 0, done.stderr + done.stdout
        self._wait(lambda: not ENTITIES.keys() & self._home.states().keys(), "entities are still there")
        devices = [one["name"] for one in self._home.ask("config/device_registry/list")]
        assert "hall" not in devices, "the device is still there"
        with Subscriber(self._broker.port) as late:
            time.sleep(2)
            left = [one.topic for one in late.messages if "hall" in one.topic]
        assert not left, f"the broker still keeps {left}"
        return "entities, the device, and all that the broker kept"

    def _nothing_to_complain_of(self) -> str:
        lines = [
            line
            for line in self._home.log().splitlines()
            if re.search(r"WARNING|ERROR", line) and re.search(r"mqtt|posed|hall|automation|blueprint", line)
        ]
        # We stopped the broker; and the entities had moved before the device was emptied.
        ours = re.compile(r"connection was lost|Failed to connect|No device components to cleanup")
        lines = [line for line in lines if not ours.search(line)]
        assert not lines, "\n" + "\n".join(lines)
        return "no warning of Home Assistant about MQTT, blueprints or automations"

    # What they have in common

    def _told(self) -> Messages:
        """The last message of each topic."""
        last = {one.topic.removeprefix(f"{BASE}/"): one.payload for one in list(self._watcher.messages)}
        names = [name for name in last if name in {"state", "fall"} or name.startswith("zones/")]
        return {name: json.loads(last[name] or b"null") for name in names}

    def _setting(self, name: str) -> Any:
        return self._told()["state"]["settings"][name]

    def _shows(self, entity: str) -> str:
        return str(self._home.states()[entity]["state"])

    def _attribute(self, entity: str, name: str) -> Any:
        return self._home.states()[entity]["attributes"].get(name)

    def _wait_for(self, entity: str, attribute: str, value: object) -> None:
        self._wait(lambda: self._attribute(entity, attribute) == value, f"{entity} does not become {value}")

    def _wait(
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

    def _all_right(self) -> None:
        self._wait(lambda: not self._missing(), "missing: {}", self._missing)
        self._wait(lambda: not self._wrong(), "wrong: {}", self._wrong)

    @contextmanager
    def _configured(self, settings: dict[str, Any]) -> Iterator[None]:
        """The daemon with other settings, and with its own again."""
        try:
            for wanted in (settings, self._settings):
                self._daemon.stop(within_s=PATIENCE_S)
                self._daemon.config.write_text(yaml.safe_dump(wanted), encoding="utf-8")
                self._daemon.start()
                if wanted is settings:
                    yield
        finally:
            self._daemon.config.write_text(yaml.safe_dump(self._settings), encoding="utf-8")


def same(one: str, other: str) -> bool:
    """Whether both are the same, however they are written where they are numbers."""
    with suppress(ValueError):
        return abs(float(one) - float(other)) < 1e-6
    return one == other


if __name__ == "__main__":
    sys.exit(main())
