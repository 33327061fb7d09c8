"""`posed selftest`: whether a real Edge TPU, CPU and cameras do what they should, and a report of it."""

from posed.commands.selftest.run import run_selftest

__all__ = ["run_selftest"]
