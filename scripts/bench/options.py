"""Options that several benchmarks take."""

from __future__ import annotations

import argparse


def seconds(text: str) -> float:
    """A time that ends, s."""
    if not 1 <= float(text) <= 86400:
        raise argparse.ArgumentTypeError(f"must be 1 to 86400, got {text}")
    return float(text)


def whole_number(text: str) -> int:
    """A whole number of at least 1."""
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)
