"""As `picamera2.devices.imx500`; see `tests.ai_camera_standin`."""

from tests.ai_camera_standin import IMX500, world_now

if world_now().fails == "import":
    raise ImportError("No module named 'libarchive'")

__all__ = ["IMX500"]
