"""What every engine is: it runs a model, whatever network that holds, and gives raw arrays."""

from __future__ import annotations

from typing import Protocol, Self

from posed.frame import Image
from posed.model.outputs import Outputs


class Engine(Protocol):
    """An opened model on a device; a context manager that lets go of both.

    Attributes:
        kind: `cpu`, `edgetpu`, or `imx500` where cameras infer themselves.
        device: which one: `usb:0`; the runtime's name for a CPU.
        why: one line that says why it was chosen.
    """

    kind: str
    device: str
    why: str

    def infer(self, image: Image) -> Outputs:
        """Run the network.

        Args:
            image: RGB uint8, exactly the size of the model's input.

        Returns:
            The model's output tensors, in the order of `Model.outputs`.

        Raises:
            EngineLost: the device failed or is gone; opening it again may help.
        """
        ...

    def invoke(self) -> None:
        """Run the network on the input that is there: what the device does of `infer`.

        Raises:
            EngineLost: as `infer`.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
