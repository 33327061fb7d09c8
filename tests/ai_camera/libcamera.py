"""What posed's cameras take from libcamera, of our own; see `tests.ai_camera_standin`."""

import sys

from tests import picamera_fake

_module = picamera_fake.modules(picamera_fake.Hardware())["libcamera"]
_module.__spec__ = __spec__
sys.modules[__name__] = _module
