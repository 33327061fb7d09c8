"""The way to the broker: client, topics and messages."""
