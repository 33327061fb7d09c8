"""What the figures of `posed bench` mean for whoever plans how many cameras a machine is to have."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from posed.commands.bench.capacity import CORES_USED, Costs, Limit

FPS: Final = 10
"""Falls need so many frames per second of each camera (docs/falls.md)."""

FPS_OF_PRESENCE: Final = 5
"""So many are enough to see who is where (docs/planning.md)."""

MOST_TRIED: Final = 8
"""Nobody has tried more cameras at once than this (docs/performance.md)."""

_NUMBERS: Final = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

_AI_CAMERA: Final = "imx500"
"""This kind infers itself."""

_LEAST_MS: Final = 1e-3
"""Shares of a core are rounded, and may be nothing where frames are rare."""

_INFERENCE: Final = ("invoke", "turned")
_CAMERA: Final = ("capture", "camera threads")
_SHARED: Final = ("hand-over", "network thread")
"""posed's own work beside the stages, for frames of all cameras alike."""


def verdict(figures: dict[str, Any], cores: int) -> dict[str, Any]:
    """How many cameras the machine handles at `FPS`, and what sets the limit; `text` says it in words.

    Args:
        figures: as measured.
        cores: how many cores this process may use.
    """
    costs = costs_of(figures, cores)
    cameras, limit = costs.cameras(FPS)
    one_fps = round(costs.one_camera_fps(), 1)
    return {
        "cameras": cameras,
        "fps": FPS,
        "limit": limit,
        "one_camera_fps": one_fps,
        "text": " ".join(
            [_sentence(cameras, one_fps), _reason(limit, costs), _proviso(figures, costs, cameras)]
        ),
    }


def costs_of(figures: dict[str, Any], cores: int) -> Costs:
    """What a frame and a camera cost where all cameras have the same rate; arguments as above.

    When they are measured they may have different ones, also since fewer frames of an empty room are taken.
    """
    cameras = figures["cameras"].values()
    percent, fps = figures["cpu_percent"], figures["fps"]
    busy, invokes_per_s = figures["busy"], figures["invokes_per_s"]

    def busy_cores(*parts: str) -> float:
        return sum(float(percent.get(part, 0.0)) for part in parts) / 100

    return Costs(
        # The mean, since the slow ones count as well.
        inference_ms=1000 * busy / invokes_per_s if invokes_per_s else 0.0,
        own_ms=max(_mean(cameras, "cpu_ms") + 1000 * busy_cores(*_SHARED) / fps, _LEAST_MS),
        stream_cores=busy_cores(*_CAMERA) / len(cameras),
        engine_cores=busy_cores(*_INFERENCE, "library threads") / busy if busy else 0.0,
        cores=cores,
        inferred=1 - [camera["kind"] for camera in cameras].count(_AI_CAMERA) / len(cameras),
        crops_ms=_mean(cameras, "crops_ms"),
    )


def _mean(cameras: Collection[Mapping[str, Any]], figure: str) -> float:
    """Of a figure that each has, whatever its rate."""
    return float(sum(camera[figure] for camera in cameras)) / len(cameras)


def _sentence(cameras: int, one_fps: float) -> str:
    if cameras == 0:
        enough = "enough to see who is where, too few for falls" if one_fps >= FPS_OF_PRESENCE else "too few"
        return f"This machine handles no camera at {FPS} frames per second: one gets {one_fps:g}, {enough}."
    tried = f" (more than {_number(MOST_TRIED)} were never tried)" if cameras > MOST_TRIED else ""
    plural = "camera" if cameras == 1 else "cameras"
    return f"This machine handles {_number(cameras)} {plural} at {FPS} frames per second{tried}."


def _reason(limit: Limit, costs: Costs) -> str:
    match limit:
        case "engine":
            return f"The engine sets the limit: it takes {costs.inference_ms:.1f} ms for a frame."
        case "posed":
            return f"posed itself sets the limit: it takes {costs.own_ms:.1f} ms of one core for a frame."
        case "processor":
            cores = "one core" if costs.cores == 1 else f"{costs.cores} cores"
            return f"The processor sets the limit: posed may use {100 * CORES_USED:.0f} % of its {cores}."


def _proviso(figures: dict[str, Any], costs: Costs, count: int) -> str:
    """What it takes for the sentence to hold, with so many cameras."""
    cameras = figures["cameras"].values()
    kinds, engine = [camera["kind"] for camera in cameras], figures["engine"]
    said = [_people(round(_mean(cameras, "people")))]
    if "drawn" in kinds:
        said.append("Decoding the streams of network cameras comes on top.")
    if _AI_CAMERA in kinds:
        said.append(_ai_cameras(kinds))
        if engine is not None and not engine["lost"]:
            said.append(_crops(costs.crops_per_s(count, FPS)))
    return " ".join(filter(None, said))


def _people(count: int) -> str:
    if count == 0:
        return "Hardly anybody was found in these pictures; people take more."
    people = "person" if count == 1 else "people"
    return f"That is with {_number(count)} {people} found in every picture."


def _ai_cameras(kinds: list[str]) -> str:
    """What is said of those that infer themselves."""
    count = kinds.count(_AI_CAMERA)
    connectors = "A Pi has a connector for one AI Camera, a Pi 5 for two."
    if count == len(kinds):
        return connectors
    are = "is an AI Camera" if count == 1 else "are AI Cameras"
    return f"{_number(count).capitalize()} of {_number(len(kinds))} {are}, as here. {connectors}"


def _crops(per_s: float | None) -> str:
    """What is left for rotated crops, which set no limit; nothing where nobody knows."""
    if per_s is None:
        return ""
    return (
        f"The engine has time for {per_s:.1f} rotated crops a second, of all cameras together; "
        "others are left out."
    )


def _number(count: int) -> str:
    return _NUMBERS[count] if count < len(_NUMBERS) else f"{count}"
