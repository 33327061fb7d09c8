"""The engine where every camera has a network of its own: it is asked for rotated crops alone."""

from __future__ import annotations

from typing import Final, Self

from posed.engine.base import Engine
from posed.errors import EngineError
from posed.frame import Image
from posed.model.outputs import Outputs

KIND: Final = "imx500"


class InCameraEngine:
    """Stands for the networks in the cameras, with another engine for rotated crops of what they saw.

    Args:
        crops: opened; None where there is none.
        why_none: why there is none.

    Attributes:
        kind, device, why: as `Engine`.
    """

    kind = KIND
    device = "in the camera"

    def __init__(self, crops: Engine | None, why_none: str = "") -> None:
        self._crops = crops
        turned = f"rotated crops: left out, {why_none}"
        if crops is not None:
            turned = f"rotated crops: {crops.kind}, {crops.device} ({crops.why})"
        self.why = f"the network runs in the camera; {turned}"

    def infer(self, image: Image) -> Outputs:
        """Run the network on a rotated crop.

        Args:
            image: RGB uint8, exactly the size of the model's input.

        Raises:
            EngineError: there is no engine for that.
            EngineLost: the device failed or is gone; opening it again may help.
        """
        if self._crops is None:
            raise EngineError("engine: must have a model for rotated crops, got none")
        return self._crops.infer(image)

    def invoke(self) -> None:
        """Run the network on the input that is there.

        Raises:
            EngineLost: as `infer`.
        """
        if self._crops is not None:
            self._crops.invoke()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._crops is not None:
            self._crops.__exit__(*error)
