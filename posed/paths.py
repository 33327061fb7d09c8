"""Where posed keeps files, how it writes them whole, and reads those from elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from posed.errors import ConfigError

SERVICE_CONFIG: Final = Path("/etc/posed/posed.yaml")
SERVICE_STATE: Final = Path("/var/lib/posed")
SERVICE_CACHE: Final = Path("/var/cache/posed")
"""The Debian package makes these three for the service."""


def _folder(environment: Mapping[str, str], service: str, user: str, default: str) -> Path:
    """A service gets its own folder from systemd (STATE_DIRECTORY=…); a user's come from XDG.

    Who has no home, as in a container, gets a folder that can never be made, and whose name says what helps:
    what would be kept there stays in memory.

    Source: systemd.exec(5), XDG Base Directory Specification 0.8.
    """
    if given := environment.get(service):
        return Path(given.split(":")[0])
    base = environment.get(user)
    if base and Path(base).is_absolute():
        return Path(base) / "posed"
    home = expanded(environment.get("HOME") or "~")
    return home / default / "posed" if home.is_absolute() else Path(os.devnull, f"{user} is not set")


def expanded(path: str) -> Path:
    """A path with `~` replaced by the home folder; unchanged where no such home is known.

    Path.expanduser raises an error there: a container's user may be none that the system knows.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111


def state_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """What must outlive a restart."""
    return _folder(environment, "STATE_DIRECTORY", "XDG_STATE_HOME", ".local/state")


def with_state(folder: Path | None, environment: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """The environment of a process that keeps its state in this folder; as it is where that is None.

    Raises:
        ConfigError: the folder's name cannot be told from several, as systemd gives them.
    """
    if folder is None:
        return environment
    if ":" in str(folder):
        raise ConfigError([f"--state: must have no colon, got {str(folder)!r}"])
    # Shells leave the ~ of `--state=~/DIR` to us.
    return {**environment, "STATE_DIRECTORY": str(expanded(str(folder)).absolute())}


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """What can be fetched or computed again; a service without one uses its state folder.

    What root fetches, it fetches for the service, where that is installed.
    """
    if "CACHE_DIRECTORY" not in environment and "STATE_DIRECTORY" in environment:
        return state_folder(environment)
    own = {"CACHE_DIRECTORY", "XDG_CACHE_HOME"} & environment.keys()
    if not own and os.geteuid() == 0 and SERVICE_CACHE.is_dir():
        return SERVICE_CACHE
    return _folder(environment, "CACHE_DIRECTORY", "XDG_CACHE_HOME", ".cache")


def overlay_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Settings changed at run time and kept."""
    return state_folder(environment) / "overlay.yaml"


def announced_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Which retained messages a broker has of us."""
    return state_folder(environment) / "announced.json"


def pitch_file(camera: str, environment: Mapping[str, str] = os.environ) -> Path:
    """How far a camera looks down, as it was learned."""
    return state_folder(environment) / f"pitch_{camera}.json"


def paused_file(environment: Mapping[str, str] = os.environ) -> Path:
    """The names of the cameras that are to stay closed, a line each; every camera where it has none."""
    return state_folder(environment) / "paused"


def spool_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Events that the broker has not acknowledged, falls that are not over, and who is down."""
    return state_folder(environment) / "spool.sqlite"


def timeline_file(environment: Mapping[str, str] = os.environ) -> Path:
    """What happened before each camera in the last days."""
    return state_folder(environment) / "timeline.sqlite"


def replace_file(path: Path, content: str | bytes, part: Path | None = None) -> None:
    """Write a file, so that it holds the new content or the old, whenever the power goes.

    Args:
        path: of the file; its folder is made where it is missing.
        content: of the file; text is written as UTF-8.
        part: where the content is written first, beside the file; needed where several processes may write
            the file at a time.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part or path.with_suffix(".part")
    try:
        _write(part, content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read_file(path: Path, limit_bytes: int) -> bytes:
    """All of a file from elsewhere, which may be anything: a silent pipe, or longer than memory.

    Raises:
        OSError: it cannot be read, is no file, or is longer than the limit.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "no file, but a pipe or device", str(path))
    with path.open("rb") as file:
        content = file.read(limit_bytes + 1)
    if len(content) > limit_bytes:
        raise OSError(errno.EFBIG, f"longer than {limit_bytes} bytes", str(path))
    return content


def exists(path: Path) -> bool:
    """Whether there is something of that name.

    Raises:
        OSError: that cannot be seen, which Path.exists() of Python 3.14 takes for missing.
    """
    return _mode_of(path) is not None


def is_file(path: Path) -> bool:
    """Whether there is a file of that name; raises as `exists`."""
    return stat.S_ISREG(_mode_of(path) or 0)


def is_folder(path: Path) -> bool:
    """Whether there is a folder of that name; raises as `exists`."""
    return stat.S_ISDIR(_mode_of(path) or 0)


def _mode_of(path: Path) -> int | None:
    """Of what has that name; None where nothing has it."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def may_exist(path: Path) -> bool:
    """Whether there is something of that name; also where that cannot be seen: reading it then says why."""
    try:
        return exists(path)
    except OSError:
        return True
