"""Keeps how far the camera looks down across restarts, and says in the log what comes of it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from posed.config import Config
from posed.paths import pitch_file, replace_file, state_folder
from posed.people.pitch import Pitch, PitchState

log = logging.getLogger(__name__)

INTERVAL_S: Final = 3600.0
"""The file is written this often at most, for the sake of an SD card, s."""


def keep_former_pitch(config: Config, environment: Mapping[str, str]) -> None:
    """Let the first camera have what was learned before cameras had names."""
    former = state_folder(environment) / "pitch.json"
    own = pitch_file(next(iter(config.cameras)), environment)
    with suppress(OSError):  # there is none, or the disk cannot be written: it is learned anew
        if not own.exists():
            former.rename(own)


class KeptPitch:
    """A pitch and its file.

    Args:
        pitch: how far the camera looks down; takes what the file has.
        file: None where nothing is to be kept.
        camera: its name, for the log.
    """

    def __init__(self, pitch: Pitch, file: Path | None, camera: str) -> None:
        self._camera = camera
        self._pitch = pitch
        self._file = file
        self._kept: tuple[float | None, float] = None, 0.0
        self._kept_s = -math.inf
        self._logged: PitchState = "learning"
        self._restore()

    def _restore(self) -> None:
        if self._file is None:
            return
        try:
            self._pitch.restore(json.loads(self._file.read_text(encoding="utf-8")))
            self._kept = self._pitch.learned_deg, self._pitch.learned_s
        except (FileNotFoundError, NotADirectoryError):
            pass
        except (OSError, ValueError, RecursionError) as error:
            log.warning("%s: cannot be read, so the pitch is learned anew: %s", self._file, error)

    def keep(self, time_s: float) -> None:
        """Write the pitch when it is believed, is another, or is known much better; log what comes of it.

        Args:
            time_s: media time, s.
        """
        pitch = self._pitch
        if pitch.state != self._logged:
            self._logged = pitch.state
            level = logging.WARNING if pitch.state == "too_steep" else logging.INFO
            log.log(level, "camera %s: %s", self._camera, pitch.words)
        deg, learned_s = pitch.learned_deg, pitch.learned_s
        kept_deg, kept_s = self._kept
        if self._file is None or deg is None or (deg == kept_deg and learned_s < 2 * kept_s):
            return
        if abs(time_s - self._kept_s) < INTERVAL_S:
            return
        self._kept, self._kept_s = (deg, learned_s), time_s
        try:
            replace_file(self._file, json.dumps(pitch.dump()))
        except NotADirectoryError:  # there is no state folder, as the spool says
            pass
        except OSError as error:
            log.warning("%s: cannot be written: %s", self._file, error.strerror)
