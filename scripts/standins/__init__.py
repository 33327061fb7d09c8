"""What stands in for the real thing, in tests and measurements: an Edge TPU, heads of people, messages."""
