"""A picamera2 of our own, with an AI Camera; see `tests.ai_camera_standin`."""

from tests.ai_camera_standin import Picamera2

__all__ = ["Picamera2"]
