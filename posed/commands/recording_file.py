"""Files of recorded poses: a line of JSON for the beginning, and one for each frame."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from posed.errors import RecordingError
from posed.messages.structs import SCHEMA, RecordedFrame, RecordingLine, RecordingStart

log = logging.getLogger(__name__)

MAX_LINE_BYTES: Final = 1024 * 1024
"""A line may have at most this many bytes: a frame of 100 people has some 100 KB."""

_decode = msgspec.json.Decoder(RecordingLine).decode


class _Versioned(msgspec.Struct):
    """What lines of every version have."""

    schema: int


_decode_version = msgspec.json.Decoder(_Versioned).decode


def lines_of(file: IO[bytes], name: str) -> Iterator[RecordingLine]:
    """What is recorded, line by line, however long the file is.

    A last line that was cut off (a full disk, a kill) is left out with a warning.

    Args:
        file: opened.
        name: what messages to people call the file.

    Raises:
        RecordingError: names the line, the rule, and what came.
    """
    number, camera = 0, ""
    while line := _read_line(file, name):
        number += 1
        if number > 1 and not line.endswith(b"\n") and _is_cut(line):
            log.warning("%s:%d: the last line is cut off, and left out", name, number)
            break
        parsed = _parsed(line, f"{name}:{number}", first=number == 1)
        if isinstance(parsed, RecordingStart):
            camera = camera or parsed.camera
            if parsed.camera != camera:
                raise RecordingError(
                    f"{name}:{number}: camera: must be {camera!r}, as in line 1, got {parsed.camera!r}"
                )
        yield parsed
    if not number:
        raise RecordingError(f"{name}: must be a recording of `posed record`, is empty")


def open_recording(path: Path) -> IO[bytes]:
    """Raises: RecordingError: it cannot be read."""
    try:
        return path.open("rb")
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror})") from None


def _read_line(file: IO[bytes], name: str) -> bytes:
    try:
        return file.readline(MAX_LINE_BYTES + 1)
    except OSError as error:
        raise RecordingError(f"{name}: cannot be read ({error.strerror})") from None


def _is_cut(line: bytes) -> bool:
    """Whether a line without an end is no JSON; one that is too long has its own error."""
    try:
        msgspec.json.decode(line)
    except (msgspec.DecodeError, RecursionError):
        return len(line) <= MAX_LINE_BYTES
    return False


def _parsed(line: bytes, where: str, *, first: bool) -> RecordingLine:
    if len(line) > MAX_LINE_BYTES:
        raise RecordingError(f"{where}: must be at most {MAX_LINE_BYTES} bytes long, is longer")
    try:
        parsed: RecordingLine = _decode(line)
    except msgspec.ValidationError as error:
        if (schema := _schema_of(line)) != SCHEMA:
            age = "an earlier" if schema < SCHEMA else "a later"
            raise RecordingError(
                f"{where}: schema: must be {SCHEMA}, got {schema}: recorded by {age} version"
            ) from None
        rule, _, place = str(error).partition(" - at `$")
        place = place.rstrip("`").lstrip(".")
        raise RecordingError(f"{where}: {place and place + ': '}{rule[0].lower()}{rule[1:]}") from None
    except RecursionError:
        raise RecordingError(f"{where}: nested too deeply") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise RecordingError(f"{where}: must be JSON in UTF-8 ({error})") from None
    if first and isinstance(parsed, RecordedFrame):
        raise RecordingError(f"{where}: must be the start of a recording, got a frame")
    return parsed


def _schema_of(line: bytes) -> int:
    """Which version of recordings a line is of; ours where it does not say."""
    try:
        return _decode_version(line).schema
    except (msgspec.DecodeError, RecursionError):
        return SCHEMA
