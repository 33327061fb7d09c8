"""What tests share: the folder ../shared, a broker, and Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import Mosquitto

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

# What shells start in the background ignores Ctrl-C, and so would each process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and pictures beside the checkout, which a fresh clone lacks."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real models and pictures), which is not there")
    return SHARED


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    """A mosquitto of the test's own."""
    folder = tmp_path / "broker"
    folder.mkdir()
    with Mosquitto(folder) as mosquitto:
        yield mosquitto
