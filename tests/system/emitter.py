"""Emits events as the daemon does, until it is killed, and notes which it has to answer for."""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, get_args

from posed.config import MqttConfig, MqttEventsConfig
from posed.messages.structs import Sender
from posed.messages.topics import Topics
from posed.mqtt.client import MqttClient
from posed.mqtt.connection import Timing
from posed.mqtt.spool import Spool
from posed.people.events import EventType
from posed.pipeline.occurrence import Occurrence

TOPICS: Final = Topics("posed/check")
CAMERAS: Final = ("hall", "bedroom")
TYPES: Final[tuple[EventType, ...]] = get_args(EventType)
NEVER_OLD: Final = MqttEventsConfig(max_age_s=604800, max_waiting=10000)
QUICK: Final = Timing(backoff_min_s=0.02, backoff_max_s=0.2)
PATIENCE_S: Final = 60.0


def spool_and_client(folder: Path, port: int) -> tuple[Spool, MqttClient]:
    """As the daemon has them."""
    client = MqttClient(
        MqttConfig(host="127.0.0.1", port=port),
        password=None,
        client_id="posed-check",
        availability_topic=TOPICS.availability,
        on_connect=lambda: spool.publish_again(),  # noqa: PLW0108 - there is no spool yet
        timing=QUICK,
    )
    spool = Spool(
        folder / "spool.sqlite",
        sender=Sender.start("check"),
        topics=TOPICS,
        broker=client,
        config=NEVER_OLD,
        cameras=CAMERAS,
    )
    return spool, client


def emit(folder: Path, port: int, life: int, born: Connection) -> None:
    """One life of the emitter: until it is killed."""
    logging.disable(logging.WARNING)
    born.send_bytes(b"born")
    chance = random.Random(life)
    notes = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    spool, client = spool_and_client(folder, port)
    spool.start()
    client.start()
    number = 0
    while True:
        names = [f"{life}.{number + more}" for more in range(1, chance.randint(1, 4) + 1)]
        number += len(names)
        _tell(spool, names, notes, chance)
        if chance.random() < 0.02:
            spool.clear_falls(time.time())
        time.sleep(chance.uniform(0, 0.004))


def _tell(spool: Spool, names: Sequence[str], notes: int, chance: random.Random) -> None:
    """Some events, each noted once the spool has taken it, and once it says that it is on disk."""
    ids = []
    for name in names:
        kind, who, camera = chance.choice(TYPES), chance.randint(1, 3), chance.choice(CAMERAS)
        happened = Occurrence(kind, time.time(), person=who, detail={"name": name}, camera=camera)
        ids.append(spool.add(happened))
        os.write(notes, f"taken {ids[-1]} {name}\n".encode())
    if spool.flush(PATIENCE_S):
        os.write(notes, "".join(f"disk {event_id}\n" for event_id in ids).encode())
