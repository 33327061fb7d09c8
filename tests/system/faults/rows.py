"""The rows of the table of faults: each does something to the daemon, says `ends`, and tells of it."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import yaml

from posed.errors import StateInUse
from posed.model.tflite import parse_model
from posed.networks import INPUT_SIZE, network_of
from scripts.standins.edgetpu import Behaviour, write_heads
from scripts.standins.heads import heads_of, in_steps, person
from tests.brokers import Pki, free_port
from tests.make_tflite import make_tflite
from tests.run_posed import posed
from tests.standin import built
from tests.system.faults.account import CAMERA, POSES
from tests.system.faults.bench import FPS, SIZE, Bench, FailedError
from tests.system.faults.picture_server import PictureServer

FOLDER: Final = Path(__file__).resolve().parent


def broker_absent(bench: Bench) -> str:
    """No broker at the start: the daemon runs all the same, and tells the events of that time later."""
    bench.watch()
    bench.broker.stop()
    bench.start_daemon()
    bench.says("connection refused")
    bench.says(" came into ", 3)
    bench.broker.start()
    bench.ends()
    return "waits, and works meanwhile"


def broker_restarts(bench: Bench) -> str:
    """The broker ends and comes back: events are kept, poses dropped and counted."""
    bench.start()
    bench.broker.stop()
    time.sleep(8)
    bench.broker.start()
    bench.ends()
    return "away for 8 s"


def broker_refuses(bench: Bench) -> str:
    """The broker takes the password no more, and then again: asked again and again."""
    users = {"posed": "right", "watcher": "seen"}
    bench.broker_options = {"users": users}
    bench.settings["mqtt"] |= {"username": "posed", "password": "right"}
    bench.watcher_options = {"username": "watcher", "password": "seen"}
    bench.start()
    bench.broker.set_password("posed", "other")
    bench.broker.restart()
    bench.says("not authorized")
    time.sleep(6)
    bench.broker.set_password("posed", "right")
    bench.ends()
    return "asks again, says so once"


def wrong_certificate(bench: Bench) -> str:
    """The broker has a certificate of another authority for a while: refused, and asked again."""
    (bench.folder / "other").mkdir()
    right, wrong = Pki.make(bench.folder), Pki.make(bench.folder / "other")
    bench.watcher_port = free_port()
    bench.broker_options = {"pki": right}
    bench.broker_lines += [f"listener {bench.watcher_port} 127.0.0.1"]
    bench.settings["mqtt"] |= {"host": "localhost", "tls": {"ca": str(right.ca)}}
    bench.start()
    for before, after in ((right, wrong), (wrong, right)):
        bench.broker.stop()
        bench.broker.change(f"certfile {before.server}", f"certfile {after.server}")
        bench.broker.change(f"keyfile {before.server_key}", f"keyfile {after.server_key}")
        bench.broker.start()
        if after is wrong:
            bench.says("certificate not accepted")
            time.sleep(5)
    bench.ends()
    return "not connected to, says why"


def cut(bench: Bench, *match: str, seconds: float) -> None:
    """Drop the packets between daemon and broker, and no others, for some time."""
    rules = [
        ["iptables", "{}", chain, "-p", "tcp", side, str(bench.broker.port), *match, "-j", "DROP"]
        for chain, side in (("INPUT", "--dport"), ("INPUT", "--sport"))
    ]
    for action, wait_s in (("-A", seconds), ("-D", 0)):
        for rule in rules:
            subprocess.run([part.format(action) for part in rule], check=True)
        time.sleep(wait_s)


def beside(bench: Bench) -> None:
    """The subscriber gets a port of its own, so that the daemon's can be cut."""
    bench.watcher_port = free_port()
    bench.broker_lines += [f"listener {bench.watcher_port} 127.0.0.1"]


def half_open(seconds: float) -> Callable[[Bench], str]:
    """Packets between daemon and broker are dropped, and nobody says so, as by a router or a cable."""

    def row(bench: Bench) -> str:
        beside(bench)
        bench.start()
        cut(bench, seconds=seconds)
        bench.ends()
        return f"packets dropped for {seconds:g} s"

    return row


def broker_slow(bench: Bench) -> str:
    """Four packets of five are dropped: what is in a hurry is dropped and counted, events get through."""
    beside(bench)
    bench.start()
    cut(bench, "-m", "statistic", "--mode", "random", "--probability", "0.8", seconds=20)
    bench.ends()
    return "80 % of packets dropped for 20 s"


def broker_hangs(bench: Bench) -> str:
    """The broker keeps its connections and reads nothing until every queue is full: events wait on disk."""
    # Buffers as small as those of a broker that has many clients.
    for name in ("tcp_rmem", "tcp_wmem"):
        Path(f"/proc/sys/net/ipv4/{name}").write_text("4096 4096 4096", encoding="ascii")
    bench.start()
    bench.broker.pause()
    time.sleep(14)
    bench.broker.resume()
    bench.ends()
    bench.wait_for("count of dropped messages", lambda: (bench.state("dropped") or 0) > 0)
    return f"frozen for 14 s; {bench.state('dropped')} poses dropped and counted"


def broker_small_packets(bench: Bench) -> str:
    """The broker takes no packet as large as a camera's discovery: that is left out, and all else goes on."""
    bench.broker_lines += ["max_packet_size 4096"]
    bench.start()
    bench.says("is not published: it has")
    stays_connected(bench)
    bench.ends()
    return "the camera's discovery is left out, says so once"


def broker_without_memory(bench: Bench) -> str:
    """The broker keeps no retained messages, and refuses a will that is retained."""
    bench.broker_lines += ["retain_available false", "max_inflight_messages 2"]
    bench.start()
    bench.says("keeps no retained messages")
    stays_connected(bench)
    bench.ends()
    return "nothing is retained, says so once"


def stays_connected(bench: Bench) -> None:
    """For longer than it would take to connect anew, with one line that warns of the broker."""
    time.sleep(8)
    for text in ("connected with MQTT 5", "WARNING mqtt"):
        if (times := bench.log().count(text)) != 1:
            raise FailedError(f"{text!r} {times} times in the log")


def camera(bench: Bench) -> PictureServer:
    """A camera on the network instead of pictures, not there yet."""
    names = sorted((bench.folder / "pictures").iterdir(), key=lambda path: int(path.stem))
    server = PictureServer([name.read_bytes() for name in names], FPS)
    server.start()
    source = f"http://127.0.0.1:{server.port}/"
    bench.settings["cameras"][CAMERA] = {"kind": "video", "source": source, "timeout_s": 2}
    return server


def camera_absent(bench: Bench) -> str:
    """No camera at the start: the daemon is online, and says what it waits for."""
    server = camera(bench)
    server.stop()
    bench.start(works=False)
    bench.waits_for_camera()
    time.sleep(8)
    people = bench.camera("people")
    server.start()
    bench.ends()
    return f"waits; people: {json.dumps(people)}"


def camera_hangs(bench: Bench) -> str:
    """The camera keeps its connection and gives no frame: opened again after its `timeout_s`."""
    server = camera(bench)
    bench.start()
    server.hangs = True
    noticed_s = bench.waits_for_camera()
    time.sleep(8)
    server.hangs = False
    bench.ends()
    return f"waits after {noticed_s:.1f} s"


def camera_disconnects(bench: Bench) -> str:
    """The camera ends its connections and takes no new ones."""
    server = camera(bench)
    bench.start()
    server.stop()
    noticed_s = bench.waits_for_camera()
    time.sleep(10)
    server.start()
    bench.ends()
    return f"waits after {noticed_s:.1f} s"


def camera_black(bench: Bench) -> str:
    """The camera gives black frames: no empty room, but a blind camera."""
    server = camera(bench)
    bench.start()
    good = server.pictures
    black = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    server.pictures = [bytes(cv2.imencode(".jpg", black)[1])]
    noticed_s = bench.wait_for("dark camera", lambda: bench.camera("sight") == "dark")
    bench.wait_for("people: null", lambda: bench.camera("people") is None)
    server.pictures = good
    bench.ends(lambda: bench.camera("sight") == "ok")
    return f"sight: dark after {noticed_s:.1f} s"


def camera_corrupt(bench: Bench) -> str:
    """The camera gives damaged frames: left out, as far as they cannot be decoded."""
    server = camera(bench)
    bench.start()
    good = server.pictures
    chance = random.Random(1)
    server.pictures = [damaged(one, chance) for one in good]
    time.sleep(8)
    server.pictures = good
    bench.ends()
    return "damaged for 8 s; left out"


def damaged(jpeg: bytes, chance: random.Random) -> bytes:
    """A picture with bytes of chance in its middle, cut short, or none at all."""
    at = chance.randrange(2, len(jpeg))
    return chance.choice(
        (jpeg[:at] + chance.randbytes(40) + jpeg[at + 40 :], jpeg[:at], chance.randbytes(at))
    )


def camera_other_size(bench: Bench) -> str:
    """The camera changes the size of its frames in the middle of the stream: people are seen in the new."""
    server = camera(bench)
    bench.start()
    good = server.pictures
    took_s = []
    for size in ((260, 196), (64, 48)):
        server.pictures = [
            bytes(cv2.imencode(".jpg", cv2.resize(cv2.imdecode(np.frombuffer(one, np.uint8), 1), size))[1])
            for one in good
        ]
        seen = partial(sees_people_in, bench, size)
        took_s.append(bench.wait_for(f"somebody in {size[0]}×{size[1]} px", seen, 2 + len(good) / FPS))
        bench.wait_for(f"state of {size[0]} px", lambda width=size[0]: bench.camera("width") == width)
        if bench.camera("sight") != "ok":
            raise FailedError(f"sight: {bench.camera('sight')} in {size[0]}×{size[1]} px")
    server.pictures = good
    bench.ends(partial(sees_people_in, bench, SIZE))
    return f"twice as large, then half: people seen after {' and '.join(f'{s:.1f}' for s in took_s)} s"


def sees_people_in(bench: Bench, size: tuple[int, int]) -> bool:
    """Whether the newest poses are of frames of this (width, height), px, and somebody is in them."""
    newest = bench.watcher.messages(POSES)[-1]
    return newest["frame"] == {"width": size[0], "height": size[1]} and bool(newest["people"])


def camera_still(bench: Bench) -> str:
    """The camera's URL gives a single picture: it is asked for again and again, and never counts as gone."""
    server = camera(bench)
    server.still = True
    bench.settings["cameras"][CAMERA]["fps"] = 10
    bench.start()
    time.sleep(8)
    bench.ends(partial(sees_people_in, bench, SIZE))
    if "waiting for the camera" in bench.log():
        raise FailedError("the camera counted as gone")
    return "asked for 10 times per second"


def video_ends(bench: Bench) -> str:
    """A video that does not loop is played to its end: the daemon ends well, and is started again."""
    path = bench.folder / "short.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), FPS, SIZE)
    for name in sorted((bench.folder / "pictures").iterdir(), key=lambda path: int(path.stem)) * 4:
        writer.write(cv2.imread(str(name)))
    writer.release()
    bench.settings["cameras"][CAMERA] = {"kind": "video", "source": str(path)}
    bench.start()
    bench.dies()
    return "ends with status 0"


def edge_tpu(bench: Bench, kind: str, **behaviour: Any) -> Path:
    """The stand-in behind the real delegate, and the file that is the device; it is not there yet."""
    content = make_tflite(edgetpu=True)
    (bench.folder / "red_edgetpu.tflite").write_bytes(content)
    network = network_of(parse_model(content, bench.folder), INPUT_SIZE)
    width, height = size = network.model.size
    somebody = [person((height / 2, width / 2), 0.6 * height)]
    records = [in_steps(heads_of(people, size, network.stride), network) for people in (somebody, [])]
    heads = write_heads(bench.folder / "heads", *[records[0]] * (2 * FPS), *[records[1]] * FPS)
    device = bench.folder / "edge-tpu"
    bench.environment = built().environment(Behaviour(heads=heads, device=device, **behaviour))
    bench.settings["engine"]["kind"] = kind
    if kind == "edgetpu":
        bench.settings["model"]["name"] = str(bench.folder / "red_edgetpu.tflite")
    return device


def engine_absent(bench: Bench) -> str:
    """No Edge TPU at the start, and no other wanted: waits, and says so."""
    device = edge_tpu(bench, "edgetpu")
    bench.start(works=False)
    bench.wait_for("refusal", lambda: "no Edge TPU answered" in (bench.state("engine", "why") or ""))
    time.sleep(8)
    device.touch()
    bench.ends()
    return "waits, says so"


def engine_fails(bench: Bench) -> str:
    """Every 60th invoke fails: opened again each time, one frame lost."""
    edge_tpu(bench, "edgetpu", fail_at=60).touch()
    bench.start()
    bench.says("waiting for the engine", 2)
    bench.ends()
    return "opened again"


def engine_gone(bench: Bench) -> str:
    """The Edge TPU is unplugged and plugged in again."""
    device = edge_tpu(bench, "edgetpu")
    device.touch()
    bench.start()
    device.unlink()
    noticed_s = bench.waits_for_engine()
    time.sleep(10)
    device.touch()
    bench.ends()
    return f"waits after {noticed_s:.1f} s"


def engine_hangs(bench: Bench) -> str:
    """An invoke never returns: after 20 s the process ends with status 5 and is started again."""
    hang = bench.folder / "hang"
    edge_tpu(bench, "edgetpu", hang=hang).touch()
    bench.start()
    hang.touch()
    began_at = time.monotonic()
    bench.wait_for("silence", lambda: time.monotonic() - bench.poses()[-1] > 2)
    hang.unlink()
    bench.dies()
    return f"ends with status 5 after {bench.ended_at - began_at:.0f} s"


def engine_auto(bench: Bench) -> str:
    """The Edge TPU goes away under `auto`: the CPU takes over, and gives way when it is back."""
    device = edge_tpu(bench, "auto")
    device.touch()
    bench.start()
    bench.wait_for("Edge TPU", lambda: bench.state("engine", "kind") == "edgetpu")
    device.unlink()
    fell_s = bench.wait_for("CPU", lambda: bench.state("engine", "kind") == "cpu")
    time.sleep(10)
    device.touch()
    bench.ends(lambda: bench.state("engine", "kind") == "edgetpu")
    return f"CPU after {fell_s:.1f} s, then the Edge TPU"


def kills(bench: Bench) -> str:
    """Killed (-9) at random moments, also while it starts."""
    bench.start()
    chance = random.Random()
    for number in range(6):
        time.sleep(chance.uniform(0, 5) if number else 0)
        bench.wait_for("process", lambda: bench.keeper.process.poll() is None)
        bench.keeper.kill(signal.SIGKILL)
        bench.wait_for("death", lambda number=number: len(bench.keeper.deaths) > number)
    bench.ends()
    return "six times"


def storm(bench: Bench) -> str:
    """SIGTERM and SIGHUP, hundreds of them, until it ends: while it works, and while it starts."""
    bench.start()
    longest_s = 0.0
    for number in (1, 2):
        began_at = time.monotonic()
        while len(bench.keeper.deaths) < number:
            bench.keeper.kill(signal.SIGTERM)
            bench.keeper.kill(signal.SIGHUP)
            time.sleep(0.002)
        longest_s = max(longest_s, time.monotonic() - began_at)
        bench.wait_for("new process", lambda number=number: len(bench.keeper.lives) > number)
        time.sleep(0.5)
    bench.ends()
    return f"ends within {longest_s:.1f} s"


def frozen(bench: Bench) -> str:
    """The whole process stands still (SIGSTOP): the watchdog ends it, 30 s after the last sign of life."""
    bench.start()
    bench.keeper.kill(signal.SIGSTOP)
    bench.dies()
    return "the watchdog ends it; the broker says `offline`"


CGROUPS: Final = Path("/sys/fs/cgroup")
MEMORY_BYTES: Final = 500 * 10**6
HOG: Final = """
import os, time
held = []
while True:
    held.append(os.urandom(10**6))
    time.sleep(0.001)
"""


def second_daemon(bench: Bench) -> str:
    """One of another name is started with the same state folder: it ends, and the first goes on."""
    bench.start()
    config = bench.folder / "other.yaml"
    config.write_text(yaml.safe_dump(bench.settings | {"device": "bath"}), encoding="utf-8")
    done = posed(bench.folder, "run", "--config", config)
    bench.ends()
    if done.returncode != StateInUse.exit_status or "device pi" not in done.stderr:
        raise FailedError(f"the second daemon ended with {done.returncode}: {done.stderr}")
    return f"ends with status {done.returncode}, and says whose the state folder is"


@contextmanager
def memory_limit(folder: Path) -> Iterator[Path]:
    """A cgroup with little memory, of either version; its file for processes."""
    legacy = (CGROUPS / "memory").is_dir()
    group = (CGROUPS / "memory" if legacy else CGROUPS) / folder.name
    if not legacy:
        (CGROUPS / "cgroup.subtree_control").write_text("+memory", encoding="ascii")
    group.mkdir()
    limit = group / ("memory.limit_in_bytes" if legacy else "memory.max")
    try:
        limit.write_text(str(MEMORY_BYTES), encoding="ascii")
        yield group / "cgroup.procs"
    finally:
        for _ in range(50):
            try:
                group.rmdir()
            except OSError:
                time.sleep(0.1)
            else:
                break


def in_group(processes: Path, first: int) -> list[str]:
    """A command that runs another one in a cgroup; the kernel kills who has the highest `first` (to 1000)."""
    return ["sh", "-c", f'echo $$ >{processes}; echo {first} >/proc/$$/oom_score_adj; exec "$@"', "sh"]


def out_of_memory(bench: Bench) -> str:
    """Something else takes all the memory there is, and the kernel kills the daemon for it."""
    with memory_limit(bench.folder) as processes:
        bench.before = in_group(processes, 1000)
        bench.start()
        hog = subprocess.Popen([*in_group(processes, 0), sys.executable, "-c", HOG])
        try:
            bench.wait_for("kill by the kernel", lambda: bench.keeper.deaths)
            time.sleep(5)
        finally:
            hog.kill()
            hog.wait()
        bench.ends()
        bench.finish()
    return "killed by the kernel"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of a megabyte over a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def durable(bench: Bench) -> bool:
    """Whether the daemon says that its events outlive a power cut."""
    return bench.state("spool", "durable") is True


def disk_full(bench: Bench) -> str:
    """The disk of the state folder is full: events are kept in memory and told, and `state` says so."""
    with small_disk(bench.folder / "state"):
        bench.start()
        filler = bench.folder / "state/filler"
        with filler.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass
        bench.wait_for("word of it", lambda: not durable(bench))
        time.sleep(8)
        filler.unlink()
        bench.ends(lambda: durable(bench))
        bench.finish()
    return "in memory meanwhile; `durable: false`"


def read_only(bench: Bench) -> str:
    """The state folder turns read-only under the daemon, and back."""
    state = bench.folder / "state"
    bench.start()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(state)], check=True)
    bench.wait_for("word of it", lambda: not durable(bench))
    time.sleep(8)
    subprocess.run(["umount", str(state)], check=True)
    bench.ends(lambda: durable(bench))
    return "in memory meanwhile; `durable: false`"


def read_only_at_start(bench: Bench) -> str:
    """The state folder is read-only at the start, and later is not."""
    state = bench.folder / "state"
    state.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(state)], check=True)
    bench.start()
    bench.wait_for("word of it", lambda: not durable(bench))
    subprocess.run(["umount", str(state)], check=True)
    bench.ends(lambda: durable(bench))
    return "in memory meanwhile; `durable: false`"


def overlay_damaged(bench: Bench) -> str:
    """What requests had changed is zeros after a crash."""
    bench.start()
    (bench.folder / "state/posed/overlay.yaml").write_bytes(bytes(4096))
    bench.keeper.kill(signal.SIGKILL)
    bench.dies()
    bench.says("overlay.yaml: damaged")
    return "set aside as `overlay.yaml.damaged`; starts without it"


HOUR: Final = 3600
YEAR: Final = 365 * 24 * HOUR


SINCE_1970_S: Final = round(time.time())


def clock_jumps(begins_at: int, *jumps: int, what: str) -> Callable[[Bench], str]:
    """The wall clock is set while posed runs.

    Args:
        begins_at: how far from the present it is at the start, s.
        jumps: how far it is set in turn, s.
        what: that was done.
    """

    def row(bench: Bench) -> str:
        library, offset = bench.folder / "clock.so", bench.folder / "offset"
        source = FOLDER / "clock.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
        offset.write_text(str(begins_at), encoding="ascii")
        bench.environment = {"LD_PRELOAD": str(library), "CLOCK_OFFSET": str(offset)}
        bench.fakes_time = True
        bench.start()
        for jump in jumps:
            fresh = offset.with_suffix(".fresh")
            fresh.write_text(str(jump), encoding="ascii")
            fresh.replace(offset)
            time.sleep(4)
            shown = datetime.fromisoformat(bench.camera("time")).timestamp() - time.time()
            if abs(shown - jump) > 60:
                raise FailedError(
                    f"the clock was to jump by {jump} s, and the camera has it {shown:.0f} s off"
                )
        bench.ends()
        return what

    return row


def clock_goes_round(seconds: int) -> Callable[[Bench], str]:
    """The wall clock is set forwards, back, back behind the start, and right again."""
    what = "forwards, back, behind the start, right again"
    return clock_jumps(0, seconds, 0, -seconds, 0, what=what)


def bad_configurations(bench: Bench) -> dict[str, str]:
    """Files with each kind of error, by the words that the log has for it."""
    good = yaml.safe_dump(bench.settings)
    mqtt = f"port: {bench.broker.port}\n"
    return {
        "expected the node content": good + "cameras: [\n",
        "found character": "\tcameras: {}\n",
        "twice": good + "device: other\n",
        "aliases are not allowed": "device: &name pi\nmodel: {name: *name}\n",
        "unknown key": good + "kameras: {}\n",
        "cameras have names now": "camera: {kind: synthetic}\n",
        "fps: must be at least 1": good.replace(f"fps: {FPS}", "fps: 0"),
        "must be a number": good.replace(f"fps: {FPS}", "fps: many"),
        "got 'eyes'": good.replace("kind: images", "kind: eyes"),
        "polygon": good.replace("loop: true", "zones: {bed: {polygon: [[0, 0], [1, 1]]}}"),
        "got neither": good.replace(mqtt, mqtt + "  username: me\n  password: !secret none\n"),
        "in quotes": good.replace(mqtt, mqtt + "  username: me\n  password: @abc\n"),
        "must be a readable PEM file": good.replace(mqtt, mqtt + "  tls: {ca: /none.pem}\n"),
        "password_file: must be a readable": good.replace(
            mqtt, mqtt + "  username: me\n  password_file: /none\n"
        ),
        "model.name": good.replace("red.tflite", "none.tflite"),
        "must be settings": "- a list\n",
        "must be a readable YAML file": "\udcff",
        "special characters": "device: \x01\n",
    }


def bad_reloads(bench: Bench) -> str:
    """SIGHUP with a file of each kind of error in turn: refused with its problems, the old one stays."""
    bench.start()
    path, bad = bench.keeper.daemon.config, bad_configurations(bench)
    good = path.read_bytes()
    for number, (words, text) in enumerate(bad.items(), 1):
        path.write_bytes(text.encode(errors="surrogateescape"))
        bench.keeper.kill(signal.SIGHUP)
        bench.says("not reloaded", number)
        if words not in bench.log():
            raise FailedError(f"no {words!r} in the log")
    path.unlink()
    bench.keeper.kill(signal.SIGHUP)
    bench.says("not reloaded", len(bad) + 1)
    path.write_bytes(good)
    bench.keeper.kill(signal.SIGHUP)
    bench.says("INFO reloaded")
    bench.ends()
    return f"{len(bad) + 1} kinds refused, a good file taken"


def flood(bench: Bench) -> str:
    """Requests without end: ten a second are done, the others dropped with a warning a minute."""
    bench.start()
    before = len(bench.poses())
    began_at = time.monotonic()
    for number in range(20_000):
        verb = ("info", "health", "snapshot", "set", "nonsense")[number % 5]
        bench.watcher.ask(verb, b'{"transaction": "%d"}' % number, qos=0)
    for _ in range(50):
        bench.watcher.ask("set", b"x" * 200_000, qos=0)
    bench.wait_for("end of the flood", bench.watcher.has_sent)
    bench.ends()
    lasted_s = time.monotonic() - began_at
    return f"20,050 in {lasted_s:.0f} s; {(len(bench.poses()) - before) / lasted_s:.0f} poses/s meanwhile"


ROWS: Final[dict[str, Callable[[Bench], str]]] = {
    "broker: absent at start": broker_absent,
    "broker: restarted": broker_restarts,
    "broker: refuses": broker_refuses,
    "broker: wrong certificate": wrong_certificate,
    "broker: half-open, short": half_open(8),
    "broker: half-open, long": half_open(40),
    "broker: slow": broker_slow,
    "broker: hangs, full queue": broker_hangs,
    "broker: small packets": broker_small_packets,
    "broker: nothing retained": broker_without_memory,
    "camera: absent at start": camera_absent,
    "camera: hangs in read": camera_hangs,
    "camera: disconnects": camera_disconnects,
    "camera: black frames": camera_black,
    "camera: corrupt frames": camera_corrupt,
    "camera: other size": camera_other_size,
    "camera: a still picture": camera_still,
    "camera: a video ends": video_ends,
    "Edge TPU: absent at start": engine_absent,
    "Edge TPU: fails at an invoke": engine_fails,
    "Edge TPU: gone and back": engine_gone,
    "Edge TPU: hangs in an invoke": engine_hangs,
    "Edge TPU: gone and back, auto": engine_auto,
    "process: kill -9": kills,
    "process: SIGTERM storm": storm,
    "process: frozen (SIGSTOP)": frozen,
    "process: out of memory": out_of_memory,
    "process: a second daemon": second_daemon,
    "disk: full": disk_full,
    "disk: turns read-only": read_only,
    "disk: read-only at start": read_only_at_start,
    "disk: damaged overlay.yaml": overlay_damaged,
    "clock: ±1 h": clock_goes_round(HOUR),
    "clock: ±1 year": clock_goes_round(YEAR),
    "clock: 1970, then now": clock_jumps(-SINCE_1970_S, 0, what="a Pi that hears of the time late"),
    "configuration: bad reloads": bad_reloads,
    "requests: flood": flood,
}
