"""The plain and the compiled file of one network, read and held against each other."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from posed.errors import ModelError
from posed.model.catalogue import Entry, find, is_published, locate, models_folder
from posed.model.pull import pull
from posed.model.tflite import Model, read_model
from posed.networks import INPUT_SIZE, Network, network_of

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One network for both engines; at least one of the two is there.

    Args:
        name: the catalogue's, or the file's without its extension.
        plain: what the plain file holds.
        compiled: what the file compiled for the Edge TPU holds.
        entry: what the catalogue says of the network; None for a file of one's own.
    """

    name: str
    plain: Network | None
    compiled: Network | None
    entry: Entry | None = None

    @property
    def network(self) -> Network:
        """That of the plain file where there is one: only its operators show whether heatmaps are scores."""
        network = self.plain or self.compiled
        assert network is not None
        return network

    @property
    def cpu(self) -> Model | None:
        """The plain model."""
        return None if self.plain is None else self.plain.model

    @property
    def edgetpu(self) -> Model | None:
        """The same model compiled for the Edge TPU."""
        return None if self.compiled is None else self.compiled.model

    @property
    def model(self) -> Model:
        """The file that the network was read from: the plain one where there is one."""
        return self.network.model

    @property
    def is_whole(self) -> bool:
        """Whether every file is there that the catalogue has."""
        entry = self.entry
        return entry is None or (
            (self.cpu is not None or entry.cpu is None)
            and (self.edgetpu is not None or entry.edgetpu is None)
        )


def load_pair(name: str, *, input_size: int = INPUT_SIZE, pull_missing: bool = False) -> Pair:
    """Read the model of that name and the other file of its pair.

    Args:
        name: a name of the catalogue, or a path.
        input_size: both sides of the input of a model that takes any size, px; one that `ModelConfig` takes.
        pull_missing: download a catalogue model of which nothing is there, or something damaged.

    Raises:
        ModelError: nothing is there, a file is damaged or holds no network that posed knows, or the two do
            not belong together.
    """
    try:
        return _read_pair(name, input_size)
    except ModelError:
        if not pull_missing or not is_published(name):
            raise
    pull_entry(name)
    return _read_pair(name, input_size)


def _read_pair(name: str, input_size: int) -> Pair:
    files = locate(name)
    entry = find(name)
    try:
        networks = [
            network_of(read_model(path), input_size)
            for path in (files.cpu, files.edgetpu)
            if path is not None
        ]
    except ModelError as error:
        if entry is None:
            raise
        how = f"get it again with: posed model pull {name}" if entry.is_published else "install posed again"
        raise ModelError(f"{error}; {how}") from None
    plain = next((network for network in networks if not network.model.edgetpu), None)
    compiled = next((network for network in networks if network.model.edgetpu), None)
    if plain and compiled and _shape(plain) != _shape(compiled):
        raise ModelError(
            f"{compiled.model.path}: must have the size and grid of {plain.model.path.name} beside it "
            f"({_shape(plain)}), got {_shape(compiled)}"
        )
    return Pair(name if entry else Path(name).stem, plain, compiled, entry)


def pull_entry(name: str) -> None:
    """Download every file of a catalogue model."""
    entry = find(name)
    assert entry is not None
    for file in entry.files:
        if not file.url:
            continue
        log.info("model %s: downloading %s", name, file.name)
        pull(file, models_folder())


def _shape(network: Network) -> str:
    (width, height), (cells_high, cells_wide) = network.model.size, network.grid
    return f"{height}×{width} px, {cells_high}×{cells_wide} cells"
