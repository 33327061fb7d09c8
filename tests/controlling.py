"""Control over a daemon that never runs, for tests of what may be asked of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np

from posed.config import Config, LiveConfig
from posed.control import Control, Controlled
from posed.log import set_level
from posed.messages.structs import Response, Sender, encode
from posed.messages.topics import Topics
from posed.mqtt.client import MqttClient
from posed.mqtt.spool import Spool
from posed.networks.pair import load_pair
from posed.paths import paused_file, spool_file
from posed.people.events import TrackedPerson
from posed.people.person import Person
from posed.pipeline.device import OK
from posed.pipeline.opening import opener_of, pipeline_of, setup_of
from posed.service.channels import ChannelParts, Channels
from posed.service.model_in_use import ModelInUse
from posed.service.paused_cameras import PausedCameras
from posed.service.status import Parts, Status
from tests.broker_fake import FakeBroker
from tests.make_tflite import make_tflite

CONTRACT = jsonschema.Draft202012Validator(msgspec.json.schema(Response))


class Controlling:
    """Control over the parts of a daemon that never runs, and what it would publish.

    Args:
        folder: for the model and the state.
        environment: variables that go before what is kept.
        changes: sections of the configuration.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None, **changes: Any) -> None:
        (folder / "red.tflite").write_bytes(make_tflite())
        config = Config(**({"device": "hall", "model": {"name": str(folder / "red.tflite")}} | changes))
        self.state = folder / "state"
        self.broker = FakeBroker()
        self.restarts: list[str] = []
        own = {"STATE_DIRECTORY": str(self.state)} | dict(environment or {})
        topics, sender = Topics.of(config), Sender.start("hall")
        used = ModelInUse(load_pair(config.model.name))
        mqtt = MqttClient(
            config.mqtt,
            password=None,
            client_id="hall",
            availability_topic=topics.availability,
            on_connect=lambda: None,
        )
        self.live = LiveConfig(config)
        self.spool = Spool(
            spool_file(own),
            sender=sender,
            topics=topics,
            broker=mqtt,
            config=config.mqtt.events,
            cameras=tuple(config.cameras),
        )
        self.pipeline = pipeline_of(config, used.size, opener_of(config, used.pair))
        paused, model = PausedCameras(paused_file(own)), used.state(config)
        self.channels = Channels(
            ChannelParts(
                sender=sender,
                topics=topics,
                live=self.live,
                pipeline=self.pipeline,
                setup=lambda config, name: setup_of(config, name, used.size),
                spool=self.spool,
                broker=self.broker,
                paused=paused,
                model=model,
                environment=own,
            )
        )
        self.channel = next(iter(self.channels.values()))
        self.feed, self.scene, self.reporter = self.channel.feed, self.channel.scene, self.channel.reporter
        self.status = Status(
            Parts(sender, self.live, used, model, self.pipeline, self.channels, self.spool, mqtt)
        )
        parts = Controlled(self.live, self.status, self.channels, self.spool, paused, self.restarts.append)
        self.live.listen(self.channels.configure)
        self.live.listen(lambda config: set_level(config.log.level))
        self.control = Control(parts, topics, sender.run, own)
        self.run = sender.run

    @property
    def published(self) -> dict[str, bytes]:
        """The last payload of each topic since the last request."""
        return {message.topic: message.payload for message in self.broker.messages}

    def answer(self, verb: str, payload: bytes) -> dict[str, Any]:
        """As the main loop does it."""
        self.broker.messages.clear()
        response = json.loads(encode(self.control.requests.answer(verb, payload)))
        CONTRACT.validate(response)
        return response

    def ask(self, verb: str, **arguments: Any) -> Any:
        """`data` of an answer, or its error."""
        response = self.answer(verb, json.dumps(arguments).encode())
        return response["data"] if response["status"] == "ok" else response["error"]

    def see(self, image: np.ndarray, *people: Person, camera: str | None = None) -> None:
        """As if a frame of a camera, the first one if none is named, had been processed just now."""
        channel = self.channel if camera is None else self.channels[camera]
        for thread in (channel.feed.capture, self.pipeline.inference):
            thread.device.status = OK
        channel.scene.frame_rate.count(time.monotonic(), 0.01, 0.02)
        channel.scene.newest = image, [TrackedPerson(one, "standing", 1.0, ()) for one in people]

    def again(self, **changes: Any) -> Controlling:
        """After a restart."""
        return Controlling(self.state.parent, **changes)
