"""What the arrays of a network mean: pure functions of them, no device and no clock.

Only `posed.networks.pair` reads files: those that hold one network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from posed.config import DecodeConfig, ModelConfig
from posed.errors import ModelError
from posed.frame import Region, View
from posed.model.outputs import Outputs
from posed.model.tflite import Model
from posed.networks.movenet import movenet_of
from posed.networks.others import refuse_others
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

    @property
    def defaults(self) -> Mapping[str, float]:
        """Settings, by dotted name, whose defaults are others for this network than in `posed.config`."""
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

    def next_region(
        self, outputs: Outputs, view: View, settings: DecodeConfig, frame_size: tuple[int, int]
    ) -> Region | None:
        """Where to look in the next frame of the same camera.

        Args:
            outputs: as an engine gave them for this model.
            view: fitted the frame, or a part of it, into the model's input.
            settings: thresholds and limits of the camera.
            frame_size: (width, height) of the frame, px.

        Returns:
            Px of the frame, and perhaps beyond it; None for all of the frame.
        """
        ...

    def describe(self, settings: DecodeConfig) -> str:
        """Which decoder the settings choose; a few words for people."""
        ...

    def facts(self) -> list[tuple[str, str]]:
        """What the file says of its network, for people: a name and a few words each."""
        ...


NETWORKS: Final[tuple[Callable[[Model], Network | None], ...]] = (movenet_of, PoseNet.of)
"""Each gives the network of a file, or None where that holds another; the last refuses what none of them
knows."""


INPUT_SIZE: Final = ModelConfig().input_size
"""Both sides of an input that a file leaves open, where nobody says otherwise, px."""


def network_of(model: Model, input_size: int) -> Network:
    """The network that a model file holds.

    Args:
        model: as read.
        input_size: both sides of the input, px, where the file leaves them open.

    Raises:
        ModelError: it holds none that posed knows.
    """
    if model.resizable:
        model = model.resized((input_size, input_size))
    try:
        refuse_others(model.outputs)
        return next(network for of in NETWORKS if (network := of(model)) is not None)
    except ModelError as error:
        raise ModelError(f"{model.path}: {error}") from None
