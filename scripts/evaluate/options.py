"""Options that several scripts of this folder take."""

from __future__ import annotations

import argparse

from scripts.paths import CORAL_353X481, CORAL_481X641


def rate(text: str) -> float:
    """A number of frames per second, or of seconds, that can be played."""
    value = float(text)
    if not 0.1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"must be 0.1 to 1000, got {text}")
    return value


def at_least_one(text: str) -> int:
    """A number of processes."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return value


def default_models() -> list[str]:
    """Coral's plain files at both sizes."""
    return [str(CORAL_353X481), str(CORAL_481X641)]
