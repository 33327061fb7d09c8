"""What the arrays of a network mean: pure functions of them, no device and no clock.

Only `posed.networks.pair` reads files: those that hold one network.
"""

from __future__ import annotations

from typing import Final, Protocol

from posed.config import DecodeConfig
from posed.errors import ModelError
from posed.frame import View
from posed.model.outputs import Outputs
from posed.model.tflite import Model
from posed.networks.posenet import PoseNet
from posed.pose import Pose


class Network(Protocol):
    """Reads the output tensors of one model."""

    @property
    def model(self) -> Model:
        """The file that holds it; its outputs are those that the network reads, in the order it does."""
        ...

    @property
    def stride(self) -> int:
        """Output stride: px of the model input from cell to cell."""
        ...

    @property
    def grid(self) -> tuple[int, int]:
        """(height, width) of the outputs, cells."""
        ...

    def poses(self, outputs: Outputs, view: View, settings: DecodeConfig) -> list[Pose]:
        """Every person in the output tensors that the settings let through.

        Args:
            outputs: as an engine gave them for this model.
            view: what the model saw of a frame.
            settings: thresholds and limits.

        Returns:
            Best first, px of the source frame.
        """
        ...

    def describe(self, settings: DecodeConfig) -> str:
        """Which decoder the settings choose; a few words for people."""
        ...

    def facts(self) -> list[tuple[str, str]]:
        """What the file says of its network, for people: a name and a few words each."""
        ...


NETWORKS: Final = (PoseNet,)
"""A file is held against these in turn."""


def network_of(model: Model) -> Network:
    """The network that a model file holds.

    Raises:
        ModelError: it holds none that posed knows.
    """
    problems = []
    for network in NETWORKS:
        try:
            return network.of(model)
        except ModelError as error:
            problems.append(str(error))
    raise ModelError(f"{model.path}: {'; '.join(problems)}")
