"""One camera's faults beside three others of the same daemon, and what these delivered meanwhile.

A real `posed run` has four cameras and one engine, a stand-in for the Edge TPU that holds the chip for 6 ms
and sees somebody stand in every frame. Three cameras send 640x480 JPEGs over HTTP, ten each second. The
fourth does so too, or what its row says, until its fault begins. A subscriber at a real mosquitto counts the
`poses` of the three before that, and for as long after it.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import av
import cv2
import numpy as np
import yaml

from posed.model.tflite import parse_model
from posed.networks import INPUT_SIZE, network_of
from scripts.standins.edgetpu import Behaviour, write_heads
from scripts.standins.heads import heads_of, in_steps, person
from tests.brokers import Mosquitto, eventually, free_port
from tests.make_tflite import HEATMAPS, MID_OFFSETS, SHORT_OFFSETS, make_tflite
from tests.run_posed import Daemon
from tests.standin import built
from tests.system.faults.picture_server import PictureServer
from tests.system.faults.rows import damaged
from tests.system.watcher import Watcher

TOPIC: Final = "posed/house"
BESIDE: Final = ("hall", "kitchen", "attic")
BAD: Final = "yard"
FPS: Final = 10
SIZE: Final = (640, 480)
OTHER_SIZES: Final = ((320, 240), (1280, 720), (480, 640))
FLOOD_HZ: Final = 250
MOST_FPS: Final = 240
"""The highest rate that a camera can be configured for: each frame of the flood is to be processed."""

HOLD_MS: Final = 6
TIMEOUT_S: Final = 2.0
SETTLE_S: Final = 2.0
HANG_S: Final = 20.0
"""After so long the daemon leaves a thread behind that hangs in a library, s."""

HEADS: Final = (HEATMAPS, replace(SHORT_OFFSETS, scale=0.5), replace(MID_OFFSETS, scale=1.5))
"""With steps as large as Coral's: somebody is larger than the usual steps of these heads reach."""

LEAST_SHARE: Final = 0.95
SERVER: Final = Path(__file__).resolve().parents[3] / "scripts" / "standins" / "rtsp_server.py"


class FourCameras:
    """A daemon with four cameras, the fourth of which will misbehave.

    Args:
        folder: for everything.

    Attributes:
        folder: as above.
        bad: the server of the fourth camera's pictures.
        settings: of the daemon; the fourth camera's may be changed before it starts, or be reloaded.
        daemon, watcher: once they are started.
        rtsp: the server of the fourth camera's stream, where a fault wants one.
    """

    rtsp: subprocess.Popen[bytes]

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._stack = ExitStack()
        pictures = [picture(number) for number in range(FPS)]
        servers = {name: PictureServer(pictures, FPS) for name in (*BESIDE, BAD)}
        self.bad = servers[BAD]
        for server in servers.values():
            self._stack.enter_context(server)
        content = make_tflite(HEADS, size=(481, 353), edgetpu=True)
        model = folder / "standing_edgetpu.tflite"
        model.write_bytes(content)
        self._environment = built().environment(Behaviour(somebody(content, folder), hold_ms=HOLD_MS))
        self.settings: dict[str, Any] = {
            "device": "house",
            "cameras": {name: streamed(server.port) for name, server in servers.items()},
            "model": {"name": str(model)},
            "engine": {"kind": "edgetpu", "idle_fps": 0},
            "people": {"look_turned_s": 0},
            "mqtt": {"host": "127.0.0.1"},
        }

    def start(self) -> None:
        """Broker, subscriber and daemon; until all four deliver, and two seconds more."""
        broker = self._stack.enter_context(Mosquitto(self.folder))
        keeps = ("availability", "events", f"{BAD}/state")
        self.watcher = self._stack.enter_context(Watcher(broker.port, TOPIC, keeps))
        self.settings["mqtt"]["port"] = broker.port
        daemon = Daemon(self.folder, self.settings, self._environment)
        self.daemon = self._stack.enter_context(daemon)
        eventually(lambda: all(self.watcher.times[f"{name}/poses"] for name in (*BESIDE, BAD)), 60)
        time.sleep(SETTLE_S)

    def change_bad(self, settings: dict[str, Any]) -> None:
        """Configure the fourth camera in another way, and reload."""
        self.settings["cameras"][BAD] = settings
        self.daemon.config.write_text(yaml.safe_dump(self.settings), encoding="utf-8")
        assert self.daemon.process is not None
        self.daemon.process.send_signal(signal.SIGHUP)

    def frames(self, seconds: float) -> dict[str, int]:
        """How many frames each of the three delivers from now on, for so long."""
        before = {name: len(self.watcher.times[f"{name}/poses"]) for name in BESIDE}
        time.sleep(seconds)
        return {name: len(self.watcher.times[f"{name}/poses"]) - before[name] for name in BESIDE}

    def state_of_now(self) -> dict[str, Any]:
        """The bad camera's, which its topic may have only later."""
        before = len(self.watcher.kept("response/info"))
        self.watcher.ask("info")
        eventually(lambda: len(self.watcher.kept("response/info")) > before)
        state: dict[str, Any] = self.watcher.messages("response/info")[-1]["data"]["cameras"][BAD]
        return state

    def run(self, fault: Fault, seconds: float) -> Outcome:
        """Do what a fault does, and tell what came of it.

        Args:
            fault: not begun yet.
            seconds: how long to count frames before it and with it, s.
        """
        fault.prepare(self)
        self.start()
        seconds = max(seconds, fault.least_s)
        without = self.frames(seconds)
        dropped = self.state_of_now()["dropped"]
        began_at = time.monotonic()
        fault.begin(self)
        with_it = self.frames(seconds)
        states = [json.loads(state) for at, state in self.watcher.kept(f"{BAD}/state") if at >= began_at]
        states.append(self.state_of_now())
        dropped = states[-1]["dropped"] - dropped
        events = [json.loads(event) for at, event in self.watcher.kept("events") if at >= began_at]
        assert self.daemon.process is not None
        return Outcome(
            seconds=seconds,
            without=without,
            with_it=with_it,
            events=[f"{event['camera']}: {event['type']}" for event in events if event["camera"] != BAD],
            said=[*dict.fromkeys(map(told, states)), *[f"{dropped} frames dropped"] * (dropped > 0)],
            runs=self.daemon.process.poll() is None,
            offline=[payload for _, payload in self.watcher.kept("availability")].count(b"offline"),
        )

    def enter(self, context: Any) -> Any:
        """Keep something open until the end."""
        return self._stack.enter_context(context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()


@dataclass(frozen=True)
class Outcome:
    """What came of a fault.

    Args:
        seconds: how long frames were counted, s.
        without, with_it: frames of the three before the fault and with it, by camera.
        events: of the three since the fault began.
        said: what the bad camera's own state said since then, each once.
        runs: whether the daemon still does.
        offline: how often `availability` said so.
    """

    seconds: float
    without: dict[str, int]
    with_it: dict[str, int]
    events: list[str]
    said: list[str]
    runs: bool
    offline: int

    @property
    def share(self) -> float:
        """Of the camera of the three that lost most: its frames as share of those without the fault."""
        return min(self.with_it[name] / self.without[name] for name in BESIDE)

    def __str__(self) -> str:
        frames = f"{sum(self.with_it.values())} of {sum(self.without.values())}"
        return (
            f"{self.seconds:4.0f} {frames:>14} {self.share:7.3f} {len(self.events):7}  {'; '.join(self.said)}"
        )


HEADER: Final = f"{'':6} {'fault':34} {'s':>4} {'frames':>14} {'least':>7} {'events':>7}  its own state"


def told(state: dict[str, Any]) -> str:
    """What a camera's state says of it, without ports and paths."""
    words = ": ".join(filter(None, (state["status"], state.get("why"))))
    words = re.sub(r"camera (\S+://127\.0\.0\.1:\d+\S*|/\S+): ", "", words)
    size = f", {state['width']}×{state['height']}" if state["width"] else ""
    sight = f", {state['sight']}" if state["sight"] not in {None, "ok"} else ""
    return f"{words}{size}{sight}"


# The faults


@dataclass(frozen=True)
class Fault:
    """What one camera does.

    Args:
        says: what its own state must say meanwhile, as a pattern.
        begin: makes it happen.
        prepare: sets the fourth camera up before the daemon starts.
        least_s: how long it takes at least, s.
    """

    says: str
    begin: Callable[[FourCameras], object]
    prepare: Callable[[FourCameras], object] = lambda _: None
    least_s: float = 0.0


def is_no_such_device(four: FourCameras) -> None:
    four.change_bad({"kind": "video", "source": "/dev/video99"})


def is_gone(four: FourCameras) -> None:
    four.bad.stop()


def stalls(four: FourCameras) -> None:
    four.bad.hangs = True


def sends_broken_jpegs(four: FourCameras) -> None:
    chance = random.Random(1)
    four.bad.pictures = [damaged(one, chance) for one in four.bad.pictures]


def sends_no_stream(four: FourCameras) -> None:
    four.bad.noise = random.Random(1).randbytes(100_000)


def changes_size(four: FourCameras) -> None:
    four.bad.pictures = [picture(number, size) for number, size in enumerate((SIZE, *OTHER_SIZES))]


def can_be_flooded(four: FourCameras) -> None:
    four.settings["cameras"][BAD]["fps"] = MOST_FPS


def floods(four: FourCameras) -> None:
    four.bad.rate_hz = FLOOD_HZ


def reconnects(four: FourCameras) -> None:
    four.bad.once = True


def plays_pictures(four: FourCameras) -> None:
    """The fourth camera reads files, one of which will never be read to its end."""
    folder = four.folder / "pictures"
    folder.mkdir()
    for number in range(FPS):
        (folder / f"{number}.jpg").write_bytes(picture(number))
    four.settings["cameras"][BAD] = {
        "kind": "images",
        "source": str(folder),
        "loop": True,
        "fps": FPS,
        "timeout_s": TIMEOUT_S,
    }


def plays_a_pipe_for_ever(four: FourCameras) -> None:
    """The same, and whenever the camera is opened again, that file is among them."""
    plays_pictures(four)
    four.settings["cameras"][BAD]["source"] += "/*"


def hangs(four: FourCameras) -> None:
    """Reading a pipe into which nobody writes does not return, as from a disk of the network that is away."""
    path = four.folder / "pictures" / "0.jpg"
    os.mkfifo(path.with_suffix(".pipe"))
    path.with_suffix(".pipe").replace(path)


def streams_rtsp(four: FourCameras) -> None:
    path = four.folder / "film.h264.mkv"
    film(path)
    port = free_port()
    four.rtsp = four.enter(rtsp_server(port, path))
    four.settings["cameras"][BAD] |= {"source": f"rtsp://127.0.0.1:{port}/0"}


def rtsp_stalls(four: FourCameras) -> None:
    """The server keeps its connections, and sends nothing any more."""
    four.rtsp.send_signal(signal.SIGSTOP)


WAITS_FOR_FRAMES: Final = r"waiting: no (frame|answer) within 2 s"
RTSP: Final = "stalls (RTSP)"

FAULTS: Final = {
    "absent: no such device": Fault(r"waiting: no such device", is_no_such_device),
    "absent: its host refuses": Fault(r"waiting: cannot be opened: Connection refused", is_gone),
    "stalls (MJPEG)": Fault(WAITS_FOR_FRAMES, stalls),
    RTSP: Fault(WAITS_FOR_FRAMES, rtsp_stalls, streams_rtsp),
    "garbage: broken JPEGs": Fault(r"waiting: .* frame within 2 s", sends_broken_jpegs),
    "garbage: no stream": Fault(r"waiting: .*(gives no video|no frame)", sends_no_stream),
    "changes its size with every frame": Fault(r"ok, 1280×720", changes_size),
    f"floods: {FLOOD_HZ} frames/s, all wanted": Fault(r"ok, .* frames dropped", floods, can_be_flooded),
    "reconnects after every frame": Fault(r"waiting: the stream ended", reconnects),
    "hangs in its library": Fault(
        r"waiting: camera: must answer within 2 s", hangs, plays_pictures, HANG_S + 10
    ),
}


def film(path: Path) -> None:
    """Three minutes of a picture at the usual rate."""
    pixels = cv2.imdecode(np.frombuffer(picture(0), np.uint8), cv2.IMREAD_COLOR)
    with av.open(path, "w") as container:
        stream = container.add_stream(
            "libx264", FPS, options={"preset": "ultrafast", "tune": "zerolatency", "g": "10"}
        )
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for _ in range(180 * FPS):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode())


@contextmanager
def rtsp_server(port: int, path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """GStreamer's, with a film at /0."""
    command = ["/usr/bin/python3", str(SERVER), str(port), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline(), "the RTSP server does not start"
            yield server
        finally:
            server.kill()


# What the cameras show


def streamed(port: int) -> dict[str, Any]:
    """The settings of a camera that sends JPEGs over HTTP."""
    return {"kind": "video", "source": f"http://127.0.0.1:{port}/", "timeout_s": TIMEOUT_S}


def picture(seed: int, size: tuple[int, int] = SIZE) -> bytes:
    """A JPEG of grey tiles, bright enough for a room with its lights on."""
    width, height = size
    tiles = np.random.default_rng(seed).integers(90, 220, (height // 20, width // 20), np.uint8)
    return bytes(cv2.imencode(".jpg", cv2.resize(tiles, size, interpolation=cv2.INTER_NEAREST))[1])


def somebody(model: bytes, folder: Path) -> Path:
    """The heads of one person who stands in the middle, whatever the picture is."""
    network = network_of(parse_model(model, folder), INPUT_SIZE)
    width, height = size = network.model.size
    people = [person((height / 2, width / 2), 0.6 * height)]
    return write_heads(folder / "heads", in_steps(heads_of(people, size, network.stride), network))
