"""The main job on one machine: a broker, the daemon with its live view, and a subscriber that prints.

Three processes that end together: this one, `amqtt` as the broker on a free port of 127.0.0.1, and
`posed run`.
"""

from __future__ import annotations

import argparse
import getpass
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from posed.camera import open_camera
from posed.config import CameraConfig, Config, WebConfig, load
from posed.errors import ModelError, PosedError
from posed.model.catalogue import locate
from posed.paths import expanded
from scripts.narration import Messages, Narrator, Sentences, Truth, painter
from scripts.paths import CORAL_353X481, ROOT
from scripts.ports import free_port

CONFIG = ROOT / "config" / "demo.yaml"
CAMERA = "POSED_CAMERAS__ROOM"
"""The settings of the only camera begin with this."""

MODEL_OF_REAL_PEOPLE = "coral-353x481"

BROKER_START_S = 20.0
FIRST_MESSAGE_S = 60.0
"""How long each may take before the demo gives up, s; the model may have to be downloaded first."""

STEP_S = 0.05
"""A message is waited for this long at a time, s."""

_NO_MODEL = (1, 1)
"""A file is opened whatever the size of the model's input."""

BROKER_SETTINGS = """\
listeners: {{default: {{type: tcp, bind: "127.0.0.1:{port}"}}}}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin: {{allow_anonymous: true}}
"""


def main() -> int:
    """Run everything until Ctrl-C or --seconds; returns the exit status."""
    options = parse_options()
    for number in (signal.SIGTERM, signal.SIGHUP):  # the broker and the daemon end with us
        signal.signal(number, lambda *_: sys.exit(0))
    port = free_port()
    environment = {**os.environ, **daemon_settings(options, port)}
    try:
        config = load(CONFIG, environment)
        check_video(config.first)
    except PosedError as error:
        print(f"demo: {error}", file=sys.stderr)
        return error.exit_status
    with tempfile.TemporaryDirectory(prefix="posed-demo-") as folder:
        settings = Path(folder) / "broker.yaml"
        settings.write_text(BROKER_SETTINGS.format(port=port), encoding="utf-8")
        # Ctrl-C must not reach the broker before the daemon has said goodbye.
        broker = subprocess.Popen(
            [Path(sys.executable).with_name("amqtt"), "-c", str(settings)],
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
        processes = [broker]
        try:
            if not wait_for_broker(port, broker):
                print("demo: the embedded broker did not start", file=sys.stderr)
                return 1
            subscriber = Subscriber(port, narrator_of(options, config))
            daemon = subprocess.Popen(
                [sys.executable, "-m", "posed", "run", "--config", str(CONFIG)],
                env={**environment, "XDG_STATE_HOME": folder},
            )
            processes.append(daemon)
            for line in opening(config, environment):
                say(line)
            return watch(subscriber, daemon, options.seconds, page_opener(config, environment))
        except KeyboardInterrupt:
            return 0
        finally:
            end(processes)


def parse_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0, help="end after so long; 0: at Ctrl-C")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--video", type=existing, help="a video file or URL instead of drawn people")
    source.add_argument(
        "--camera", type=existing, help="a camera instead of drawn people: 0, /dev/video0, a URL"
    )
    parser.add_argument(
        "--model",
        help="a name of `posed model list`, or a .tflite; default: posed's own for drawn people, and for "
        f"real ones {MODEL_OF_REAL_PEOPLE}, which is downloaded where it is not there yet",
    )
    parser.add_argument("--no-web", action="store_true", help="without the live view")
    parser.add_argument("--verbose", action="store_true", help="every message instead of sentences")
    return parser.parse_args()


def existing(source: str) -> str:
    """A source as it is given; where there is no such file or device, the demo ends at once.

    This runs before anything is set up, and so needs nothing but Python.
    """
    path = f"/dev/video{source}" if source.isdecimal() else source
    if not source or ("://" not in source and not Path(path).expanduser().exists()):
        print(f"demo: {path or 'the source'}: there is no such file or device", file=sys.stderr)
        raise SystemExit(2)
    return source


def check_video(camera: CameraConfig) -> None:
    """Look whether a file is a video, before anything is downloaded for it.

    Raises:
        CameraError: it is none.
    """
    path = expanded(camera.source)
    if camera.kind == "video" and (path.is_file() or path.is_dir()):
        with open_camera(camera, _NO_MODEL):
            pass


def source_of(options: argparse.Namespace) -> str | None:
    """The camera or video instead of drawn people."""
    source: str | None = options.camera if options.video is None else options.video
    return source


def daemon_settings(options: argparse.Namespace, port: int) -> dict[str, str]:
    """What the demo decides for the daemon, over its configuration file."""
    settings = {"POSED_MQTT__HOST": "127.0.0.1", "POSED_MQTT__PORT": str(port)}
    if options.no_web:
        settings["POSED_WEB__ENABLED"] = "false"
    else:
        settings["POSED_WEB__PORT"] = str(web_port())
    source = source_of(options)
    if source is None:
        # Drawn people who lie are seen as they are; turned the wrong way, small ones are seen head to foot.
        settings["POSED_PEOPLE__LOOK_TURNED_S"] = "0"
    else:
        settings |= {f"{CAMERA}__KIND": "video", f"{CAMERA}__SOURCE": source}
    if options.model is not None:
        settings["POSED_MODEL__NAME"] = options.model
    elif source is not None:
        settings |= model_of_real_people()
    return settings


def web_port() -> int:
    """The live view's usual port, so that its address stays the same; any other where that one is taken."""
    usual = WebConfig().port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the daemon does
        try:
            probe.bind(("127.0.0.1", usual))
        except OSError:
            return free_port()
    return usual


def model_of_real_people() -> dict[str, str]:
    """The settings for a model that was trained on photographs, wherever there is one."""
    try:
        locate(MODEL_OF_REAL_PEOPLE)
    except ModelError:
        if CORAL_353X481.is_file():
            return {"POSED_MODEL__NAME": str(CORAL_353X481)}
        return {"POSED_MODEL__NAME": MODEL_OF_REAL_PEOPLE, "POSED_MODEL__PULL": "true"}
    return {"POSED_MODEL__NAME": MODEL_OF_REAL_PEOPLE}


def narrator_of(options: argparse.Namespace, config: Config) -> Narrator:
    """Who tells what comes: in sentences, or every message."""
    if not options.verbose:
        return Sentences(say, painter(sys.stdout))
    return Messages(say, Truth(config.first) if config.first.kind == "synthetic" else None)


def opening(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """What is said before the first message: where the live view is, and how to reach it."""
    web = config.web
    if web.enabled:
        later = f", once {config.model.name} is downloaded" if config.model.pull else ""
        yield f"live view: {address_of(config)} (with pictures, for this machine only){later}"
        if not has_display(environment):
            here = f"{user_name()}@{socket.gethostname()}"
            yield (
                f"no display here: ssh -L {web.port}:localhost:{web.port} {here} from where there is one, "
                f"then http://localhost:{web.port}/ there"
            )
    yield f"messages: mosquitto_sub -p {config.mqtt.port} -t 'posed/demo/#' -v; Ctrl-C ends"


def address_of(config: Config) -> str:
    """Where a browser on this machine finds the live view."""
    return f"http://127.0.0.1:{config.web.port}/"


def has_display(environment: Mapping[str, str]) -> bool:
    """Whether a browser can be shown here."""
    return sys.platform == "darwin" or any(environment.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def user_name() -> str:
    """Who runs this; a container's user may have no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "user"


def page_opener(config: Config, environment: Mapping[str, str]) -> Callable[[], object]:
    """What shows the live view, where somebody sits before a display; elsewhere it does nothing."""
    if config.web.enabled and has_display(environment) and sys.stdout.isatty():
        return partial(webbrowser.open, address_of(config))
    return lambda: None


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
            time.sleep(STEP_S)
        else:
            return True
    return False


class Subscriber:
    """A client like any other, in the thread that calls it.

    Args:
        port: of the broker.
        narrator: tells what comes.

    Attributes:
        poses: how many `poses` messages came.
    """

    def __init__(self, port: int, narrator: Narrator) -> None:
        self.poses = 0
        self.narrator = narrator
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("posed/demo/#", qos=1)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", port)

    def run(self, seconds: float) -> None:
        """Take what comes within so many seconds."""
        self._client.loop(seconds)
        self.narrator.tick()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        kind = message.topic.rpartition("/")[2]
        self.poses += kind == "poses"
        self.narrator.take(kind, bytes(message.payload))


def watch(
    subscriber: Subscriber, daemon: subprocess.Popen[bytes], seconds: float, show: Callable[[], object]
) -> int:
    """Let it run; returns 1 if no poses came, or the daemon's status if it failed.

    Args:
        subscriber: takes the messages.
        daemon: sends them; all ends with it.
        seconds: after which it ends; 0: never.
        show: called once, when there is something to see.
    """
    began, shown = time.monotonic(), False
    while daemon.poll() is None:
        running_s = time.monotonic() - began
        if seconds and running_s >= seconds:
            break
        if running_s >= FIRST_MESSAGE_S and not subscriber.poses:
            break
        subscriber.run(STEP_S)
        if subscriber.poses and not shown:
            shown = True
            show()
    failed = daemon.poll()
    if subscriber.poses:
        subscriber.narrator.end()
    elif not failed:  # else it has said why
        print("demo: nothing was received of the camera", file=sys.stderr)
    return failed or int(not subscriber.poses)


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
