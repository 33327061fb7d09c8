"""picamera2 on libcamera's virtual camera, in every process that has this folder in its path."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import libcamera
import numpy as np
import picamera2
from picamera2.allocators import LibcameraAllocator

FRAME_INTERVAL_S = 1 / 120


class VirtualPicamera2(picamera2.Picamera2):  # type: ignore[misc]
    """The real thing, but for a camera without a raw stream, a DMA heap and a rate of its own."""

    flips = True

    def __init__(self, number: int = 0) -> None:
        super().__init__(number)
        self.allocator = LibcameraAllocator(self.camera)
        self.between_frames: Callable[[], object] = lambda: time.sleep(FRAME_INTERVAL_S)
        self.pre_callback: Callable[[Any], object] = self._flip

    def _flip(self, request: Any) -> None:
        """What an ISP does with the configured transform, and the virtual camera only promises."""
        transform = request.config["transform"]
        down, across = (-1 if transform.vflip else 1), (-1 if transform.hflip else 1)
        with picamera2.MappedArray(request, "main") as mapped:
            luma, chroma = np.split(mapped.array, [request.config["main"]["size"][1]])
            chroma = chroma.reshape(len(chroma), -1, 2)
            luma[:] = luma[::down, ::across].copy()
            chroma[:] = chroma[::down, ::across].copy()
            del luma, chroma  # the memory cannot be unmapped before

    def configure_(self, configuration: Any) -> None:
        super().configure_(configuration)
        if not self.flips:
            self.camera_config["transform"] = libcamera.Transform()

    def process_requests(self, display: Any) -> None:
        self.between_frames()
        super().process_requests(display)

    def _get_raw_modes(self) -> list[dict[str, Any]]:
        found = self.camera.generate_configuration([libcamera.StreamRole.VideoRecording]).at(0).formats
        return [
            {"format": str(pixel_format), "size": (size.width, size.height)}
            for pixel_format in found.pixel_formats
            for size in found.sizes(pixel_format)
        ]


picamera2.Picamera2 = VirtualPicamera2
