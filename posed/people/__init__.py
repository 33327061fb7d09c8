"""People over time: pure functions of poses and the frames' own time; no clock, no device, no MQTT."""
