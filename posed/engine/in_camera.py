"""The engine where every camera has a network of its own: it is asked for rotated crops alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, Self

from posed.engine.base import Engine
from posed.errors import EngineError, EngineLost, ModelError
from posed.frame import Image
from posed.model.outputs import Outputs

log = logging.getLogger(__name__)

KIND: Final = "imx500"

AGAIN_S: Final = 6.0
"""An Edge TPU that is away is looked for this often at most, s, when there is a crop for it."""


class CropsLeftOut(EngineError):
    """Nothing infers rotated crops, or not now."""


class InCameraEngine:
    """Stands for the networks in the cameras, with another engine for rotated crops of what they saw.

    That one may be away, or fail: the cameras go on, and crops are left out.

    Args:
        open_crops: opens it; None where there is none.
        why_none: why there is none.
        clock: monotonic time, s.

    Attributes:
        kind, device, why: as `Engine`.
        crops: infers rotated crops; None where nothing does, or not now.
    """

    kind = KIND
    device = "in the camera"

    def __init__(
        self,
        open_crops: Callable[[], Engine] | None,
        why_none: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_crops = open_crops
        self._why_none = why_none
        self._clock = clock
        self._again_at = 0.0
        self._use(self._opened())

    def _use(self, crops: Engine | None) -> None:
        self.crops = crops
        turned = f"left out, {self._why_none}"
        if crops is not None:
            turned = f"{crops.kind}, {crops.device} ({crops.why})"
        self.why = f"the network runs in the camera; rotated crops: {turned}"

    def _opened(self) -> Engine | None:
        """The engine for crops, where there is one now."""
        if self._open_crops is None:
            return None
        try:
            return self._open_crops()
        except EngineLost as error:
            self._lose(error)
        except (EngineError, ModelError) as error:
            self._lose(error)
            self._open_crops = None
        return None

    def _lose(self, error: EngineError | ModelError) -> None:
        if str(error) != self._why_none:
            log.warning("rotated crops are left out: %s", error)
        self._why_none = str(error)
        self._again_at = self._clock() + AGAIN_S

    def infer(self, image: Image) -> Outputs:
        """Run the network on a rotated crop.

        Args:
            image: RGB uint8, exactly the size of the model's input.

        Raises:
            CropsLeftOut: there is no engine for that, or it is away, or has just failed.
        """
        if self.crops is None and self._clock() >= self._again_at:
            self._use(self._opened())
        if self.crops is None:
            raise CropsLeftOut(self._why_none)
        try:
            return self.crops.infer(image)
        except EngineLost as error:
            self.crops.__exit__(None, None, None)
            self._lose(error)
            self._use(None)
            raise CropsLeftOut(self._why_none) from error

    def invoke(self) -> None:
        """Run the network on the input that is there.

        Raises:
            EngineLost: the device failed or is gone.
        """
        if self.crops is not None:
            self.crops.invoke()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.crops is not None:
            self.crops.__exit__(*error)
