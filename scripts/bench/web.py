"""Measures what viewers of the live view cost detection; every figure is of this machine, viewers included.

A daemon on drawn pictures of five people, 640x480, sees and tells without viewers, then with one, with ten,
and so on in one run. Viewers are a process of their own on the same machine and take every frame as soon as
they can; those on another machine cost this one less.

    posed run's parts, `privacy.pictures: full`
    engine    stand-in for an Edge TPU that holds the chip for 6 ms; the CPU
    camera    30 frames per second; or a frame whenever the engine takes one, so that anything shows
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

import aiohttp

from posed.commands.bench.camera import DrawnCamera
from posed.config import Config
from posed.daemon import Daemon
from scripts.bench.common import five_people
from scripts.paths import CORAL_353X481
from scripts.ports import free_port
from scripts.standins.edgetpu import Behaviour, built

THIS: Final = (sys.executable, "-m", "scripts.bench.web")
VIEWERS: Final = (0, 1, 10)
SETTLE_S: Final = 1.5
WARM_UP: Final = 50
HOLD_MS: Final = 6
RATES: Final = (30, 0)


@dataclass(frozen=True)
class Cost:
    """What so many viewers cost.

    Args:
        fps: frames that were processed, per second.
        cpu_ms: that the daemon took for each of them, all its threads together, ms.
        shown: frames that each viewer got, per second.
    """

    fps: float
    cpu_ms: float
    shown: float


def main() -> int:
    """Run, and print the figures; returns 1 where something gave none."""
    parser = argparse.ArgumentParser(
        prog="scripts/python bench.web", description="What viewers of the live view cost detection."
    )
    parser.add_argument("--seconds", type=float, default=4, help="of each count of viewers, in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=str(CORAL_353X481))
    parser.add_argument("--engine", choices=("edgetpu", "cpu"), help="this one alone")
    parser.add_argument("--measure", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--view", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.view:
        return asyncio.run(view(options.view))
    if options.measure is not None:
        return measure(options)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores; {Path(options.model).name}, {options.rounds} rounds"
    )
    print("engine         camera     viewers   frames/s   of those without   CPU ms/frame   shown/s, each")
    status = 0
    with tempfile.TemporaryDirectory(prefix="posed-bench-") as folder:
        standin = built().environment(Behaviour(heads=five_people(options, Path(folder)), hold_ms=HOLD_MS))
        for engine in (options.engine,) if options.engine else ("edgetpu", "cpu"):
            for fps in RATES:
                status |= subprocess.run(
                    [*THIS, *sys.argv[1:], "--engine", engine, "--measure", str(fps)],
                    env=os.environ | standin,
                    check=False,
                ).returncode
    return status


def measure(options: argparse.Namespace) -> int:
    """One engine and one camera: a row for each count of viewers."""
    processed = 0

    def count(*_: object) -> None:
        nonlocal processed
        processed += 1

    with tempfile.TemporaryDirectory(prefix="posed-bench-") as folder:
        config = Config(
            model={"name": options.model},
            engine={"kind": options.engine},
            mqtt={"host": "127.0.0.1", "port": free_port()},
            # The stand-in sees the same however a picture is turned; and a frame is to be one invoke.
            people={"look_turned_s": 0},
            privacy={"pictures": "full"},
            web={"enabled": True, "port": free_port()},
            log={"level": "error"},
        )
        daemon = Daemon(
            config,
            open_camera=lambda _name: DrawnCamera(options.measure),
            on_processed=count,
            environment={"STATE_DIRECTORY": folder},
        )
        costs: dict[int, list[Cost]] = {viewers: [] for viewers in VIEWERS}

        def rounds() -> None:
            viewers = Viewers(f"http://127.0.0.1:{config.web.port}")
            try:
                viewers.be(0)
                while processed < WARM_UP:
                    time.sleep(0.1)
                for _ in range(options.rounds):
                    for number in VIEWERS:
                        viewers.be(number)
                        time.sleep(SETTLE_S)
                        before, received = processed, viewers.be(number)
                        began, cpu_began = time.monotonic(), time.process_time()
                        time.sleep(options.seconds)
                        took_s, cpu_s = time.monotonic() - began, time.process_time() - cpu_began
                        shown = (viewers.be(number) - received) / took_s / max(1, number)
                        done = max(1, processed - before)
                        costs[number].append(Cost(done / took_s, 1000 * cpu_s / done, shown))
            finally:
                viewers.stop()
                daemon.stop()

        threading.Thread(target=rounds).start()
        daemon.run()
    print_rows(options, costs)
    return 0 if all(len(one) == options.rounds for one in costs.values()) else 1


class Viewers:
    """As many as are wanted, in a process of their own.

    Args:
        url: of the page.
    """

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [*THIS, "--view", url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def be(self, count: int) -> int:
        """From now on there are so many; returns how many frames all of them have received until now."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(count, file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())

    def stop(self) -> None:
        """No more."""
        self._process.communicate()


async def view(url: str) -> int:
    """Be as many viewers as each line of standard input says; prints how many frames were received before."""
    os.nice(10)
    received, watching = 0, list[asyncio.Task[None]]()

    async def watch(client: aiohttp.ClientSession) -> None:
        nonlocal received
        with suppress(ConnectionError):  # the daemon ends first
            socket = await client.ws_connect(f"{url}/live/", origin=url)
            async for message in socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    received += 1
                    await socket.send_str("next")

    async with aiohttp.ClientSession() as client:
        while count := await asyncio.to_thread(sys.stdin.readline):
            print(received, flush=True)
            for one in watching[int(count) :]:
                one.cancel()
            watching = watching[: int(count)]
            watching += [asyncio.create_task(watch(client)) for _ in range(int(count) - len(watching))]
    return 0


def print_rows(options: argparse.Namespace, costs: dict[int, list[Cost]]) -> None:
    """The mean of all rounds; ratios within a round, since machines have moods."""
    engine = f"stand-in {HOLD_MS} ms" if options.engine == "edgetpu" else "CPU"
    camera = f"{options.measure:g} fps" if options.measure else "unlimited"
    for viewers, rows in costs.items():
        fps = fmean(one.fps for one in rows)
        ratio = fmean(one.fps / alone.fps for one, alone in zip(rows, costs[0], strict=True))
        cpu_ms, shown = fmean(one.cpu_ms for one in rows), fmean(one.shown for one in rows)
        print(
            f"{engine:13}  {camera:9}  {viewers:7d}   {fps:8.1f}   {ratio:16.3f}   "
            f"{cpu_ms:12.2f}   {shown:13.1f}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
