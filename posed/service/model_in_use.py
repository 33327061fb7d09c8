"""Which networks run: that of the engine, and those that cameras have themselves."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from msgspec import UNSET

from posed.camera.imx500 import NETWORK, STRIDE
from posed.camera.imx500_view import INPUT
from posed.config import Config, DecodeConfig
from posed.engine.tflite import find_runtime
from posed.errors import EngineError, ModelError
from posed.messages.structs import ModelState
from posed.model.card import DRAWN, PEOPLE, card_of
from posed.networks import Network
from posed.networks.pair import Pair, load_pair
from posed.networks.posenet import describe_decoder
from posed.pipeline.followed_region import NextRegion, look_at_all
from posed.service.check import missing_beside, networks_on_their_side
from posed.service.fetch import wait_for_model
from posed.service.notify import Notifier

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ModelInUse:
    """The network of the engine, where it has one.

    Args:
        pair: the engine's; None where every camera has a network of its own and no other is there.
        why_none: why it is not there.
        in_cameras: whether every camera has a network of its own, so that the engine's is for rotated crops.
    """

    pair: Pair | None
    why_none: str = ""
    in_cameras: bool = False

    @property
    def network(self) -> Network | None:
        """The engine's."""
        return None if self.pair is None else self.pair.network

    @property
    def defaults(self) -> Mapping[str, float]:
        """Settings, by dotted name, whose defaults are others for what runs on frames."""
        return {} if self.in_cameras or self.pair is None else self.pair.network.defaults

    @property
    def next_region(self) -> NextRegion:
        """Where the engine's looks in the next frame of a camera."""
        return look_at_all if self.pair is None else self.pair.network.next_region

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the engine's input, or of the cameras' own networks, px."""
        return INPUT if self.pair is None else self.pair.model.size

    @property
    def name(self) -> str:
        """That of what runs on frames."""
        if self.in_cameras or self.pair is None:
            return NETWORK.stem
        return self.pair.name

    def describe(self, settings: DecodeConfig) -> str:
        """Which decoder the settings choose; a few words for people."""
        if self.in_cameras or self.pair is None:
            return describe_decoder(settings)
        return self.pair.network.describe(settings)

    def state(self, config: Config) -> ModelState:
        """Which network runs, and what it cannot do before the cameras of a configuration."""
        warnings = [*self.warnings(config), *networks_on_their_side(config.cameras)]
        warning = "; ".join(warnings) or UNSET
        if self.in_cameras or self.pair is None:
            return ModelState(self.name, STRIDE, *INPUT, warning)
        return ModelState(self.name, self.pair.network.stride, *self.size, warning)

    def warnings(self, config: Config) -> Iterator[str]:
        """What the engine's cannot do, where an engine can run it."""
        if self.pair is None:
            return
        if self.in_cameras and config.engine.kind == "edgetpu" and self.pair.edgetpu is None:
            return
        kinds = [camera.kind for camera in config.cameras.values()]
        if warning := model_warning(self.pair, kinds):
            yield f"leaves rotated crops to {self.pair.name}, which {warning}" if self.in_cameras else warning


def model_warning(pair: Pair, camera_kinds: Collection[str]) -> str:
    """What the model cannot do before these cameras; empty where there is nothing to warn of."""
    if "imx500" in camera_kinds and pair.network.defaults:
        return (
            "scores otherwise than the PoseNet in an AI Camera, and is to look for people who lie before it; "
            "take a PoseNet, such as coral-353x481"
        )
    if set(camera_kinds) <= {"synthetic"} or card_of(pair.model.path).get(PEOPLE) != DRAWN:
        return ""
    return "was trained on drawn people and hardly sees real ones; take another, such as coral-353x481"


def model_in_use(config: Config, systemd: Notifier, *, cameras_are_ours: bool) -> ModelInUse:
    """Read the engine's model, and wait for it where it is to be downloaded and cameras need it.

    Args:
        config: names it, and the cameras.
        systemd: hears that it is waited for.
        cameras_are_ours: whether the cameras are opened as the configuration says, so that their files count.

    Raises:
        CameraError: the files of all cameras are missing.
        ModelError: the model is missing and not to be downloaded, damaged, or no network that posed knows.
    """
    if config.infers_in_cameras:
        if config.model.pull and (missing := missing_beside(config)):
            log.warning("%s", missing)
        return model_for_crops(config)
    cameras = tuple(config.cameras.values()) if cameras_are_ours else ()
    return ModelInUse(wait_for_model(config.model, systemd, cameras=cameras))


def model_for_crops(config: Config) -> ModelInUse:
    """The engine's model where it is there; no camera with a network of its own waits for it."""
    try:
        find_runtime()
        return ModelInUse(load_pair(config.model.name, input_size=config.model.input_size), in_cameras=True)
    except (ModelError, EngineError) as error:
        return ModelInUse(None, str(error), in_cameras=True)
