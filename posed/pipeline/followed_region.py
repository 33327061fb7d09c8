"""Where a network looks in the next frame of a camera, as it follows somebody from frame to frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from posed.config import DecodeConfig
from posed.frame import Region, View
from posed.model.outputs import Outputs

NextRegion = Callable[[Outputs, View, DecodeConfig, tuple[int, int]], Region | None]
"""A function of this type says where to look next: `posed.networks.Network.next_region`."""


def look_at_all(
    _outputs: Outputs, _view: View, _settings: DecodeConfig, _frame_size: tuple[int, int]
) -> Region | None:
    """Look at all of each frame."""
    return None


@dataclass(slots=True)
class FollowedRegion:
    """The region of one camera's next frame; for one thread, but for the settings, which another may replace.

    Args:
        region: px of a frame; None for all of it.
        frame_size: (width, height) of that frame, px.
        settings: thresholds and limits of the camera.
    """

    region: Region | None = None
    frame_size: tuple[int, int] = (0, 0)
    settings: DecodeConfig = field(default_factory=DecodeConfig)

    def move(self, region: Region | None, frame_size: tuple[int, int]) -> None:
        """Look somewhere else from the next frame on."""
        self.region, self.frame_size = region, frame_size

    def within(self, frame_size: tuple[int, int]) -> Region | None:
        """The region of a frame; None where its size is another, as of a camera opened again."""
        return self.region if frame_size == self.frame_size else None
