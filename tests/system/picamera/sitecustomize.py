"""Python imports this at its start: a process that posed begins has the virtual camera, too."""

import tests.system.picamera.virtual  # noqa: F401 which puts itself in picamera2's place
