"""Serves files over RTSP, as a camera would: `/usr/bin/python3 rtsp_server.py PORT FILE...`.

The first is at /0, the next at /1 and so on. It runs with Debian's Python, whose GStreamer it uses
(gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-good and -bad), and prints a line once it listens.
"""

from __future__ import annotations

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 - versions come first

Gst.init(None)
server = GstRtspServer.RTSPServer.new()
server.set_service(sys.argv[1])
for number, file in enumerate(sys.argv[2:]):
    codec = "h265" if ".h265." in file else "h264"
    factory = GstRtspServer.RTSPMediaFactory.new()
    pay = f"{codec}parse ! rtp{codec}pay name=pay0 config-interval=1"
    factory.set_launch(f"( filesrc location={file} ! matroskademux ! {pay} )")
    server.get_mount_points().add_factory(f"/{number}", factory)
server.attach(None)
print("listening", flush=True)
GLib.MainLoop().run()
