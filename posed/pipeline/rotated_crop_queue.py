"""When a rotated crop that was requested is inferred: with which of the next frames."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Final

from posed.frame import Frame, RotatedCrop

CROP_DELAY_FRAMES: Final = 3
"""In a recording, a crop is inferred so many frames after the frame that it was requested for. This is the
first frame that is always inferred after the request, however the threads run: when the main loop handles a
frame, the next one is being inferred and the one after that waits in the slot."""


@dataclass(frozen=True, slots=True)
class _Request:
    """A crop, with the number and the shape of the frame that it was requested for."""

    crop: RotatedCrop
    sequence: int
    shape: tuple[int, ...]


class RotatedCropQueue:
    """The rotated crops of one camera that have been requested and not been inferred yet.

    With a live camera, a crop is due in the next frame that is inferred. In a recording it is due
    `CROP_DELAY_FRAMES` frames after its request, so that a recording gives the same result at any speed. A
    frame gets one crop at most, so that no frame is delayed by more than that.

    The main loop adds crops and the inference thread takes them; a lock guards the queue.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: deque[_Request] = deque(maxlen=CROP_DELAY_FRAMES + 1)

    def add(self, crop: RotatedCrop, frame: Frame) -> None:
        """Request a crop of one of the next frames; at most once per frame.

        Args:
            crop: the region, px of the frame, and by how much it is rotated.
            frame: the newest frame, whose people made the crop worth a request.
        """
        with self._lock:
            self._requests.append(_Request(crop, frame.sequence, frame.image.shape))

    def take(self, frame: Frame, *, live: bool) -> RotatedCrop | None:
        """Remove and return the crop that is due in a frame.

        Args:
            frame: the frame that is being inferred.
            live: whether it comes from a live camera.

        Returns:
            None if no crop is due, or if the frame has another size than the one of the request: a camera
            that was opened again with another size shows something else in that region.
        """
        with self._lock:
            if not self._requests or not (live or self._is_old_enough(frame)):
                return None
            request = self._requests.popleft()
        return request.crop if frame.image.shape == request.shape else None

    @property
    def is_empty(self) -> bool:
        """Whether every crop that was requested has been taken."""
        with self._lock:
            return not self._requests

    def clear(self) -> None:
        """Drop what was requested: the frames that come now show something else."""
        with self._lock:
            self._requests.clear()

    def _is_old_enough(self, frame: Frame) -> bool:
        return frame.sequence >= self._requests[0].sequence + CROP_DELAY_FRAMES
