"""Which cameras are to stay closed, across restarts: a pause is a matter of privacy."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from posed.paths import replace_file

log = logging.getLogger(__name__)


class PausedCameras:
    """Knows by name which cameras are paused; no restart, and no power cut, opens one again.

    Args:
        file: has their names, a line each, while one is paused; none at all where every camera is, also those
            that are added later.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def __contains__(self, camera: str) -> bool:
        names = self._read()
        return names is not None and (not names or camera in names)

    def _read(self) -> list[str] | None:
        """The names in the file; None where there is none, or its folder cannot be looked into."""
        try:
            return self._file.read_text(encoding="utf-8", errors="replace").split()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:  # rather closed than open
            return [] if _is_there(self._file) else None

    def change(self, camera: str | None, known: Collection[str], *, paused: bool) -> None:
        """Keep in mind that cameras are paused, or no longer are.

        Args:
            camera: the name of one; None for every camera, whatever it is called.
            known: the names of all that there are now.
            paused: whether it is to stay closed.
        """
        names = self._read()
        if camera is None:
            self._write(set() if paused else None)
        elif paused and names != []:
            self._write({*(names or ()), camera})
        elif not paused and names is not None:
            self._write((set(names or known) - {camera}) or None)

    def _write(self, names: Collection[str] | None) -> None:
        """Write the names; none at all for every camera, and no file for None."""
        try:
            if names is None:
                self._file.unlink(missing_ok=True)
            else:
                replace_file(self._file, "".join(f"{name}\n" for name in sorted(names)))
        except OSError as error:
            log.warning("%s: %s: a restart forgets it", self._file, error.strerror)


def _is_there(file: Path) -> bool:
    """Whether a file exists; one in a folder that cannot be looked into does not."""
    try:
        return file.exists()
    except OSError:
        return False
