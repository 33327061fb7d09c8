"""What tests share: the folder ../shared."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real models and pictures beside the checkout, which a fresh clone lacks."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared (real models and pictures), which is not there")
    return SHARED
