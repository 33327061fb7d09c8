"""A model that is still to be downloaded when the daemon starts: waited for, like a device that is away."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Collection
from typing import Final

from posed.camera import check_source
from posed.config import CameraConfig, ModelConfig
from posed.errors import CameraError, DownloadError, ModelError
from posed.model.catalogue import is_published
from posed.networks.pair import Pair, load_pair, pull_entry
from posed.service.notify import Notifier
from posed.timing import Backoff

log = logging.getLogger(__name__)

FIRST_WAIT_S: Final = 5.0
LONGEST_WAIT_S: Final = 300.0
"""Two attempts are at most this far apart, s: a network may come up after posed, a server may be away for
days."""

DOWNLOAD_S: Final = 1800.0
"""One attempt, and the wait after it, may take this long before the watchdog counts it as hung, s."""


def wait_for_model(
    config: ModelConfig,
    systemd: Notifier,
    wait: Callable[[float], object] = time.sleep,
    *,
    cameras: Collection[CameraConfig] = (),
) -> Pair:
    """Read the model; where `pull` allows it, download what is missing or damaged, however often that takes.

    Args:
        config: says which model.
        systemd: hears that nothing else is waited for, so that booting goes on.
        wait: waits for the given number of seconds.
        cameras: what the model is for: where the files of all of them are missing, nothing is downloaded.

    Raises:
        CameraError: the files of all cameras are missing.
        ModelError: it is missing and not to be downloaded, damaged, or no network that posed knows.
    """
    pair = None
    try:
        pair = load_pair(config.name, input_size=config.input_size)
    except ModelError:
        if not config.pull or not is_published(config.name):
            raise
    if pair is not None and (pair.is_whole or not config.pull):
        return pair
    _check_sources(cameras)
    systemd.ready()
    systemd.feed_within(DOWNLOAD_S)
    if pair is None:
        _download(config.name, systemd, wait)
    else:
        _complete(config.name)
    systemd.feed_within(None)
    return load_pair(config.name, input_size=config.input_size)


def _check_sources(cameras: Collection[CameraConfig]) -> None:
    """Look whether any camera has something to see.

    Raises:
        CameraError: the files of all of them are missing.
    """
    missing: list[CameraError] = []
    for camera in cameras:
        try:
            check_source(camera)
        except CameraError as error:
            missing.append(error)
    if missing and len(missing) == len(cameras):
        raise missing[0]


def _complete(name: str) -> None:
    """Try once for the other file of a pair: one is enough to run with."""
    try:
        pull_entry(name)
    except DownloadError as error:
        log.warning("model %s: runs without this file: %s", name, error)


def _download(name: str, systemd: Notifier, wait: Callable[[float], object]) -> None:
    backoff = Backoff(FIRST_WAIT_S, LONGEST_WAIT_S, random.random)
    systemd.status(f"waiting for the model: {name} is being downloaded", str)
    while True:
        try:
            return pull_entry(name)
        except DownloadError as error:
            wait_s = backoff.next_s()
            log.warning("waiting for the model: %s; trying again in %.0f s", error, wait_s)
            systemd.status(f"waiting for the model: {error}", str)
            systemd.progressed()
            wait(wait_s)
