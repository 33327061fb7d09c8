"""The stand-in for the Edge TPU, as tests need it."""

from __future__ import annotations

import pytest

from scripts.standins import edgetpu
from scripts.standins.edgetpu import NoCompilerError, Standin


def built() -> Standin:
    """The stand-in; skips the test where there is no C compiler."""
    try:
        return edgetpu.built()
    except NoCompilerError as error:
        pytest.skip(str(error))
