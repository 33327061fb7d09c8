"""Stands in for Pi OS's display library, which picamera2 imports at once: nothing is drawn here."""

import types

PixelFormat = types.SimpleNamespace(
    **{name: name for name in ("RGB888", "BGR888", "XRGB8888", "XBGR8888", "YUV420", "YVU420", "NV12")}
)
