"""The network in torch: one trunk with two tails, one per native stride, and its losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from posed.frame import Image
from posed.model.architecture import HEADS, Architecture, Layer
from posed.model.outputs import OutputTensor
from posed.networks.posenet.heads import Heads

_CHANNELS: Final = (16, 32, 48, 48, 96, 128, 256, 256, 256, 256, 256, 256, 384, 384)
_TRUNK_STRIDES: Final = (2, 2, 1, 1, 2, 1, 2, 1, 1, 1, 1, 1)

NETWORKS: Final = {
    16: Architecture("posed_drawings_16", _CHANNELS, (*_TRUNK_STRIDES, 1, 1)),
    32: Architecture("posed_drawings_32", _CHANNELS, (*_TRUNK_STRIDES, 2, 1)),
}
"""By native stride: about MobileNetV1 0.50, but that it shrinks the picture earlier, which saves a third of
the time, and ends narrower. Each ends in a way of its own, so that at its native stride none of its layers is
dilated, which the Edge TPU would leave to the CPU."""

_SHARED: Final = 1 + 2 * (len(_TRUNK_STRIDES) - 1)
"""How many layers the two networks have in common while they are trained."""

_FACING: Final = Layer("facing", depthwise=False, kernel=1, inputs=_CHANNELS[-1], outputs=3, relu6=False)

_UNITS: Final = {
    "heatmap": 1.0,
    "offset": 4.0,
    "displacement_fwd": 12.0,
    "displacement_bwd": 12.0,
    "facing": 1.0,
}
"""What a head's output is multiplied by, so that all learn at one pace; px for offsets."""

_RARE: Final = -3.0
"""Logit that the heatmaps start from: keypoints are rare."""

_WRONG: Final = 0.05
"""Error, in parts of a person's size, from which on the loss of offsets is linear."""

_LOSS_WEIGHTS: Final = (20.0, 1.0, 1.0, 4.0)
"""Of the mean losses of heatmaps, short offsets, mid offsets and the way people face."""

HeadTensors = tuple[Tensor, Tensor, Tensor, Tensor]
"""Logits (N, 17, …), short offsets (N, 34, …) and mid offsets (N, 64, …) px, and the way people face
(N, 3, …), which is only there to learn left from right: no file has it."""


def native_of(stride: int) -> int:
    """Which of the networks serves an output stride."""
    return 32 if stride == 32 else 16


class PoseNet(nn.Module):
    """Two PoseNets that share all layers up to `pointwise_11`."""

    def __init__(self) -> None:
        super().__init__()
        layers = NETWORKS[16].layers(16)
        self.trunk = nn.ModuleDict({layer.name: _Conv(layer) for layer in layers[:_SHARED]})
        self.tails = nn.ModuleDict(
            {
                str(native): nn.ModuleDict(
                    {layer.name: _Conv(layer) for layer in (*network.layers(native)[_SHARED:], _FACING)}
                )
                for native, network in NETWORKS.items()
            }
        )

    def forward(self, images: Tensor, strides: Sequence[int]) -> dict[int, HeadTensors]:
        """What the heads say at each output stride.

        Args:
            images: (N, 3, height, width) uint8, RGB.
            strides: output strides, px.
        """
        x = images.to(memory_format=torch.channels_last).float() / 127.5 - 1
        trunks: dict[tuple[Layer, ...], Tensor] = {}
        found = {}
        for stride in strides:
            layers = NETWORKS[native_of(stride)].layers(stride)
            shared, own = layers[:_SHARED], layers[_SHARED:]
            if shared not in trunks:
                trunks[shared] = self._run(self.trunk, shared, x)
            found[stride] = self._tail(native_of(stride), own, trunks[shared])
        return found

    def _tail(self, native: int, layers: Sequence[Layer], x: Tensor) -> HeadTensors:
        convs = self.tails[str(native)]
        assert isinstance(convs, nn.ModuleDict)
        x = self._run(convs, layers[: -len(HEADS)], x)
        heat, short, forwards, backwards = (convs[layer.name](x, layer) for layer in layers[-len(HEADS) :])
        return heat, short, torch.cat([forwards, backwards], 1), convs[_FACING.name](x, _FACING)

    @staticmethod
    def _run(convs: nn.ModuleDict, layers: Sequence[Layer], x: Tensor) -> Tensor:
        for layer in layers:
            x = convs[layer.name](x, layer)
        return x

    def weights(self, native: int) -> dict[str, NDArray[np.float32]]:
        """Those of one network as `posed.model.architecture` has them: batch normalisation folded in."""
        tail = self.tails[str(native)]
        assert isinstance(tail, nn.ModuleDict)
        folded = {}
        for layer in NETWORKS[native].layers(native):
            conv = self.trunk[layer.name] if layer.name in self.trunk else tail[layer.name]
            assert isinstance(conv, _Conv)
            folded[layer.weights], folded[layer.bias] = conv.folded(layer)
        return folded


class _Conv(nn.Module):
    """A convolution, and batch normalisation and ReLU6 unless it is a head."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        kernel = _first_kernel(layer)
        self.kernel_shape = kernel.shape
        self.kernel = nn.Parameter(kernel[:, :, 0, 0] if layer.kernel == 1 else kernel)
        start = _RARE if layer.name == "heatmap" else 0.0
        self.bias = None if layer.relu6 else nn.Parameter(torch.full((layer.outputs,), start))
        self.norm = nn.BatchNorm2d(layer.outputs, eps=1e-3, momentum=0.03) if layer.relu6 else None
        self.unit = _UNITS.get(layer.name, 1.0)

    def forward(self, x: Tensor, layer: Layer) -> Tensor:
        """With the stride and the dilation that the layer has at the wanted output stride."""
        if layer.kernel == 1:
            # A product of matrices, which on a CPU takes half the time of a convolution.
            x = functional.linear(x.permute(0, 2, 3, 1), self.kernel, self.bias).permute(0, 3, 1, 2)
        else:
            padding = layer.dilation * (layer.kernel - 1) // 2
            groups = layer.inputs if layer.depthwise else 1
            x = functional.conv2d(x, self.kernel, self.bias, layer.stride, padding, layer.dilation, groups)
        return x * self.unit if self.norm is None else functional.relu6(self.norm(x), inplace=True)

    def folded(self, layer: Layer) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Kernel (as TensorFlow has it) and bias of one convolution that does the same."""
        kernel = self.kernel.detach().view(self.kernel_shape).cpu().double()
        if self.norm is None:
            assert self.bias is not None
            bias = self.bias.detach().cpu().double() * self.unit
            kernel = kernel * self.unit
        else:
            assert self.norm.running_var is not None
            assert self.norm.running_mean is not None
            factor = self.norm.weight.detach().cpu().double() / torch.sqrt(
                self.norm.running_var.cpu().double() + self.norm.eps
            )
            bias = self.norm.bias.detach().cpu().double() - self.norm.running_mean.cpu().double() * factor
            kernel = kernel * factor[:, None, None, None]
        # Torch has (outputs, inputs, y, x), and for depthwise (channels, 1, y, x).
        order = (2, 3, 0, 1) if layer.depthwise else (2, 3, 1, 0)
        return kernel.permute(*order).float().numpy(), bias.float().numpy()


def _first_kernel(layer: Layer) -> Tensor:
    """Of (outputs, inputs, y, x); layers that can begin near the identity do, as in a network with skips."""
    kernel = torch.empty(layer.outputs, 1 if layer.depthwise else layer.inputs, layer.kernel, layer.kernel)
    if not layer.relu6:
        return nn.init.normal_(kernel, std=0.01)
    if layer.depthwise:
        nn.init.normal_(kernel, std=0.15)
        kernel[:, :, layer.kernel // 2, layer.kernel // 2] += 1
    elif layer.inputs == layer.outputs:
        nn.init.orthogonal_(kernel[:, :, 0, 0], gain=0.5)
        kernel += torch.eye(layer.outputs)[:, :, None, None]
    else:
        nn.init.kaiming_normal_(kernel, mode="fan_in")
    return kernel


def losses(heads: HeadTensors, targets: Sequence[Tensor]) -> Tensor:
    """(4,): of heatmaps, short offsets, mid offsets and the way people face, weighed.

    Args:
        heads: what the network says.
        targets: as `Targets.arrays`, each with N in front.
    """
    heat, heat_weight, short, short_weight, mid, mid_weight, facing, facing_weight = targets
    entropy = functional.binary_cross_entropy_with_logits(heads[0], heat, reduction="none")
    parts = (
        (entropy * heat_weight).sum() / heat_weight.sum().clamp(min=1),
        _offset_loss(heads[1], short, short_weight.repeat(1, 2, 1, 1)),
        _offset_loss(heads[2], mid, _both_axes(mid_weight)),
        _facing_loss(heads[3], facing, facing_weight),
    )
    return torch.stack([weight * part for weight, part in zip(_LOSS_WEIGHTS, parts, strict=True)])


def _facing_loss(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    across = functional.smooth_l1_loss(found[:, :2], wanted[:, :2], beta=0.2, reduction="none") / 0.2
    front = functional.binary_cross_entropy_with_logits(found[:, 2:], wanted[:, 2:], reduction="none")
    return ((across.sum(1, keepdim=True) + front) * weight).sum() / weight.sum().clamp(min=1)


def _both_axes(weight: Tensor) -> Tensor:
    """(N, 64, …) of (N, 32, …): forwards for dy and dx, then backwards for both."""
    forwards, backwards = weight.chunk(2, 1)
    return torch.cat([forwards, forwards, backwards, backwards], 1)


def _offset_loss(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Mean Huber loss in parts of the person's size, over the cells that count."""
    error = functional.smooth_l1_loss(found * weight, wanted * weight, beta=_WRONG, reduction="none")
    return error.sum() / (weight > 0).sum().clamp(min=1) / _WRONG


@torch.no_grad()
def infer(model: PoseNet, images: Sequence[Image], stride: int) -> list[Heads]:
    """The heads of pictures of one size, as an engine would give them."""
    device = next(model.parameters()).device
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(device)
    found = [
        head.permute(0, 2, 3, 1).contiguous().cpu().numpy() for head in model(batch, (stride,))[stride][:3]
    ]
    return [
        Heads(
            OutputTensor(found[0][index]),
            OutputTensor(found[1][index]),
            OutputTensor(found[2][index]),
            stride,
        )
        for index in range(len(images))
    ]
