"""The main job on one machine: an embedded broker, the daemon, and a subscriber that prints what comes.

Three processes that end together: this one, `amqtt` as the broker on a free port of 127.0.0.1, and
`posed run`.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from posed.camera.synthetic import SyntheticCamera
from posed.config import load
from posed.errors import ModelError
from posed.model.catalogue import locate
from posed.pose import KEYPOINTS
from scripts.paths import CORAL_353X481, ROOT
from scripts.ports import free_port

CONFIG = ROOT / "config" / "demo.yaml"
CAMERA = "POSED_CAMERAS__ROOM"
"""The settings of the only camera begin with this."""

MODEL_OF_REAL_PEOPLE = "coral-353x481"

BROKER_START_S = 20.0
FIRST_MESSAGE_S = 60.0
"""How long each may take before the demo gives up, s; the model may have to be downloaded first."""

BROKER_SETTINGS = """\
listeners: {{default: {{type: tcp, bind: "127.0.0.1:{port}"}}}}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
"""


def main() -> int:
    """Run everything until Ctrl-C or --seconds; returns the exit status."""
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # the broker and the daemon end with us
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="posed-demo-") as folder:
        settings = Path(folder) / "broker.yaml"
        settings.write_text(BROKER_SETTINGS.format(port=port), encoding="utf-8")
        broker = subprocess.Popen(
            [Path(sys.executable).with_name("amqtt"), "-c", str(settings)], stderr=subprocess.DEVNULL
        )
        processes = [broker]
        try:
            if not wait_for_broker(port, broker):
                print("demo: the embedded broker did not start", file=sys.stderr)
                return 1
            subscriber = Subscriber(port, Truth() if source_of(options) is None else None)
            daemon = subprocess.Popen(
                [sys.executable, "-m", "posed", "run", "--config", str(CONFIG)],
                env={**os.environ, "XDG_STATE_HOME": folder, **daemon_settings(options, port)},
            )
            processes.append(daemon)
            say(f"broker on 127.0.0.1:{port}; messages of posed/demo/#; Ctrl-C ends")
            return watch(subscriber, daemon, options.seconds)
        except KeyboardInterrupt:
            return 0
        finally:
            end(processes)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0, help="end after so long; 0: at Ctrl-C")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--video", help="a video file or URL instead of drawn people")
    source.add_argument("--camera", help="a camera instead of drawn people: 0, /dev/video0")
    parser.add_argument(
        "--model",
        help="a name of `posed model list`, or a .tflite; default: posed's own for drawn people, and for "
        f"real ones {MODEL_OF_REAL_PEOPLE}, which is downloaded where it is not there yet",
    )
    return parser.parse_args()


def source_of(options: argparse.Namespace) -> str | None:
    """The camera or video instead of drawn people."""
    source: str | None = options.camera if options.video is None else options.video
    return source


def daemon_settings(options: argparse.Namespace, port: int) -> dict[str, str]:
    """What the demo decides for the daemon, over its configuration file."""
    settings = {"POSED_MQTT__HOST": "127.0.0.1", "POSED_MQTT__PORT": str(port)}
    source = source_of(options)
    if source is not None:
        settings |= {f"{CAMERA}__KIND": "video", f"{CAMERA}__SOURCE": source}
    if options.model is not None:
        settings["POSED_MODEL__NAME"] = options.model
    elif source is not None:
        settings |= model_of_real_people()
    return settings


def model_of_real_people() -> dict[str, str]:
    """The settings for a model that was trained on photographs, wherever there is one."""
    try:
        locate(MODEL_OF_REAL_PEOPLE)
    except ModelError:
        if CORAL_353X481.is_file():
            return {"POSED_MODEL__NAME": str(CORAL_353X481)}
        return {"POSED_MODEL__NAME": MODEL_OF_REAL_PEOPLE, "POSED_MODEL__PULL": "true"}
    return {"POSED_MODEL__NAME": MODEL_OF_REAL_PEOPLE}


def say(line: str) -> None:
    """Print it at once; that nobody reads any more ends the demo, as SIGTERM does."""
    try:
        print(line, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be said
        signal.raise_signal(signal.SIGTERM)


def wait_for_broker(port: int, broker: subprocess.Popen[bytes]) -> bool:
    """Whether the broker takes connections in time."""
    deadline = time.monotonic() + BROKER_START_S
    while time.monotonic() < deadline and broker.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return True
    return False


class Truth:
    """Where everybody really is: the scene is drawn from numbers, so a second camera knows them as well."""

    def __init__(self) -> None:
        self._camera = SyntheticCamera(load(CONFIG, {}).first)

    def error_px(self, sequence: int, person: dict[str, Any]) -> float | None:
        """The mean distance of a found person's keypoints from the drawn person's that is nearest, px.

        None where no drawn person shares a visible keypoint with the found one.
        """
        found = [person["keypoints"][name] for name in KEYPOINTS]
        points = np.array([[np.nan] * 2 if one is None else [one["y"], one["x"]] for one in found])
        distances = []
        for drawn in self._camera.truth(sequence):
            shared = drawn.visible & ~np.isnan(points[:, 0])
            if shared.any():
                distances.append(float(np.linalg.norm(points - drawn.points, axis=1)[shared].mean()))
        return min(distances, default=None)


class Subscriber:
    """A client like any other: subscribes and prints what it receives, beside the truth where it is known."""

    def __init__(self, port: int, truth: Truth | None) -> None:
        self.poses = 0
        self.errors_px: list[float] = []
        self.first = threading.Event()
        self._truth = truth
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("posed/demo/#", qos=1)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        name = message.topic.rpartition("/")[2]
        if name == "poses":
            self.poses += 1
            self.first.set()
            self._print_poses(msgspec.json.decode(message.payload))
        elif name == "state":
            state = msgspec.json.decode(message.payload)
            say(camera_line(state) if "camera" in state else machine_line(state))
        else:
            say(f"{name:6s} {message.payload.decode()}")

    def _print_poses(self, poses: dict[str, Any]) -> None:
        people = poses["people"]
        count = f"{len(people)} {'person' if len(people) == 1 else 'people'}"
        say(f"poses  {poses['sequence']:6d}  {poses['inference_ms']:5.1f} ms  {count}")
        for person in people:
            error_px = self._truth and self._truth.error_px(poses["sequence"], person)
            if error_px is not None:
                self.errors_px.append(error_px)
            say(f"         {person_text(person)}{error_text(error_px)}")


def machine_line(state: dict[str, Any]) -> str:
    """One line for the machine: how its cameras and its engine do."""
    cameras = ", ".join(f"{name} {status}" for name, status in state["cameras"].items())
    warning = state["model"].get("warning")
    return f"state  {cameras}, engine {status_text(state['engine'])} ({state['engine']['kind']})" + (
        f", model {state['model']['name']} {warning}" if warning else ""
    )


def camera_line(state: dict[str, Any]) -> str:
    """One line for a camera: who is there, or what is waited for."""
    people = "?" if state["people"] is None else state["people"]
    return f"{state['camera']:6s} people {people}, {state['fps']} fps, {status_text(state)}"


def status_text(device: dict[str, Any]) -> str:
    """Whether it works, or why it is waited for."""
    status: str = device["status"]
    return f"{status} ({device['why']})" if status == "waiting" and device.get("why") else status


def person_text(person: dict[str, Any]) -> str:
    """Score, and nose and wrists as far as they are seen."""
    parts = [f"score {person['score']:.2f}"]
    for name in ("nose", "left_wrist", "right_wrist"):
        place = person["keypoints"][name]
        parts.append(f"{name} " + ("-" if place is None else f"{place['x']:.0f},{place['y']:.0f}"))
    return "  ".join(parts)


def error_text(error_px: float | None) -> str:
    """How far off that is."""
    return "" if error_px is None else f"  ({error_px:.1f} px off)"


def watch(subscriber: Subscriber, daemon: subprocess.Popen[bytes], seconds: float) -> int:
    """Let it run; returns 1 if no poses came, or the daemon's status if it failed."""
    began = time.monotonic()
    while daemon.poll() is None:
        running_s = time.monotonic() - began
        if seconds and running_s >= seconds:
            break
        if running_s >= FIRST_MESSAGE_S and not subscriber.first.is_set():
            break
        time.sleep(0.05)
    say(f"{subscriber.poses} poses messages received")
    if subscriber.errors_px:
        say(f"median distance from the truth: {np.median(subscriber.errors_px):.1f} px")
    if not subscriber.poses:
        print("demo: no poses message came", file=sys.stderr)
    return daemon.poll() or int(not subscriber.poses)


def end(processes: list[subprocess.Popen[bytes]]) -> None:
    """The daemon first, so that it says goodbye, then the broker."""
    for process in reversed(processes):
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
