"""posed: a daemon that sees poses and publishes them over MQTT."""

__version__ = "0.1.0"
