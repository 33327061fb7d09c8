"""How many cameras a machine handles, from what a frame costs on it, and what sets the limit.

It is the smallest of what the engine, posed's own work and all cores allow. docs/planning.md says where the
shares come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

ENGINE_USED: Final = 0.8
"""Of an engine's time: the rest is for rotated crops, of people who may be lying."""

OWN_USED: Final = 0.7
"""Of one core, for posed's own work: most of it is Python, of which one thread runs at a time."""

CORES_USED: Final = 0.6
"""Of all cores, for all that posed does: the rest is for the system, a broker, heat and bad moments."""

Limit = Literal["engine", "posed", "processor"]
"""The engine's time, posed's own work on one core, or all cores."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What cameras cost on a machine.

    Args:
        inference_ms: time of the engine for a frame that it infers.
        own_ms: posed's own work for a frame, on one core.
        stream_cores: cores that one camera keeps busy whatever is taken of it, as by decoding its stream.
        engine_cores: cores that are busy during an inference.
        cores: how many there are.
        inferred: for which share of all cameras the engine infers: the others infer themselves.
        crops_ms: time of the engine for rotated crops of those others, by frame of any camera. When it has no
            time they are left out.
    """

    inference_ms: float
    own_ms: float
    stream_cores: float
    engine_cores: float
    cores: int
    inferred: float = 1.0
    crops_ms: float = 0.0

    def cameras(self, fps: float) -> tuple[int, Limit]:
        """How many cameras there can be at so many frames per second each, and what allows no more."""
        engine, own = fps * self.inferred * self.inference_ms / 1000, fps * self.own_ms / 1000
        takes = own + self.stream_cores + engine * self.engine_cores
        most: dict[Limit, float] = {
            "engine": ENGINE_USED / engine if engine else math.inf,
            "posed": OWN_USED / own,
            "processor": self._fitting(CORES_USED * self.cores, takes, fps * self.crops_ms / 1000),
        }
        limit = min(most, key=most.__getitem__)
        return int(round(most[limit], 6)), limit  # 0.7 / 0.1 is less than 7

    def one_camera_fps(self) -> float:
        """How many frames per second there can be of a single camera."""
        engine_s, own_s = self.inferred * self.inference_ms / 1000, self.own_ms / 1000
        left = CORES_USED * self.cores - self.stream_cores
        takes = own_s + engine_s * self.engine_cores
        by_engine = ENGINE_USED / engine_s if engine_s else math.inf
        return max(0.0, min(by_engine, OWN_USED / own_s, self._fitting(left, takes, self.crops_ms / 1000)))

    def crops_per_s(self, cameras: int, fps: float) -> float | None:
        """How many rotated crops a second the engine has time for, beside the frames of so many cameras.

        None where it did nothing, so that nobody knows how fast it is.
        """
        if not self.inference_ms:
            return None
        return max(0.0, 1000 / self.inference_ms - cameras * fps * self.inferred)

    def _fitting(self, cores: float, takes: float, crops_s: float) -> float:
        """How many fit so many cores that take so much each, and so much of an engine's time for crops.

        However many there are, their crops have one engine.
        """
        return max(cores / (takes + crops_s * self.engine_cores), (cores - self.engine_cores) / takes)
