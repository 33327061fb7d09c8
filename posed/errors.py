"""Every error that posed raises on purpose, with the exit status it ends a command with.

    PosedError                      1   an internal fault; also the base of the rest
    ├── ConfigError (ValueError)    2   the configuration has problems; lists all of them
    ├── ModelError (ValueError)     3   a model is missing, damaged or none that posed runs
    │   └── DownloadError (OSError) 3   a model could not be downloaded
    ├── ImageError (ValueError)     4   a picture or video cannot be read
    ├── RecordingError (ValueError) 4   a recording of poses cannot be read or written
    ├── CameraError (OSError)       4   the camera can never work like this: the daemon ends
    │   ├── CameraLost              4   it is absent, stalled or gone: reopened with backoff
    │   │   ├── LoginRefused        4   it wants another user or password
    │   │   └── CameraPreparing     4   it is not ready yet: asked again, and no failure
    │   └── CameraEnded (EOFError)  0   a file or folder has been played to its end
    ├── EngineError (RuntimeError)  5   the engine can never work like this: the daemon ends
    │   └── EngineLost              5   the device is absent or failed: reopened with backoff
    ├── BrokerError (OSError)       6   a command needed a broker and got none
    ├── StateInUse (OSError)        7   the state folder is another daemon's
    └── RequestError (ValueError)   –   a request over MQTT cannot be done: it is answered, and ends nothing

Messages are one line that says where, what rule, and what came. An expected failure is printed
as that line, without a traceback; only a bug shows one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence


class PosedError(Exception):
    """Base of all errors of posed."""

    exit_status = 1


class ConfigError(PosedError, ValueError):
    """A configuration that cannot be used; `problems` has one line for each thing wrong."""

    exit_status = 2

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class ModelError(PosedError, ValueError):
    """A model that is missing, damaged, or none that posed runs."""

    exit_status = 3


class DownloadError(ModelError, OSError):
    """A model could not be downloaded; nothing unverified was left behind."""


class ImageError(PosedError, ValueError):
    """A picture that cannot be read or written."""

    exit_status = 4


class RecordingError(PosedError, ValueError):
    """A recording of poses that cannot be read or written."""

    exit_status = 4


class CameraError(PosedError, OSError):
    """A camera that cannot work until somebody changes something."""

    exit_status = 4


class CameraLost(CameraError):
    """A camera that is absent, stalled or gone; opening it again may help."""


class LoginRefused(CameraLost):
    """A camera that wants another user or password."""


class CameraPreparing(CameraLost):
    """A camera that gets ready, and is to be asked again.

    Args:
        why: with what.
        give_up: ends that, where nobody will ask again.
    """

    def __init__(self, why: str, give_up: Callable[[], object] = lambda: None) -> None:
        super().__init__(why)
        self.give_up = give_up


class CameraEnded(CameraError, EOFError):
    """The end of a video, or of a folder of pictures, that does not loop."""

    exit_status = 0


class EngineError(PosedError, RuntimeError):
    """An engine that cannot work until somebody changes something."""

    exit_status = 5


class EngineLost(EngineError):
    """An accelerator that is absent or failed; opening it again may help."""


class BrokerError(PosedError, OSError):
    """A broker that a command needs cannot be used."""

    exit_status = 6


class StateInUse(PosedError, OSError):
    """A state folder that another daemon has; it may be free later."""

    exit_status = 7


class RequestError(PosedError, ValueError):
    """A request that cannot be done; its text is the answer."""


def one_line(text: object) -> str:
    """Text that others wrote, as it may be shown: nothing in it writes over the terminal."""
    line = " ".join(str(text).split())
    return "".join(letter for letter in line if letter.isprintable())
