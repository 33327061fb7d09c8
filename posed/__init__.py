"""posed: a daemon that sees poses and tells them over MQTT."""

__version__ = "0.1.0"
