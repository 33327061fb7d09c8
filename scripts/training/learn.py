"""The training itself: processes that learn together, a schedule that ends on time, checkpoints."""

from __future__ import annotations

import functools
import itertools
import math
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader, Dataset

from posed.errors import ModelError
from scripts.training.pool import Pool
from scripts.training.posenet import PoseNet, losses
from scripts.training.targets import targets_of, varied

TRAINED_STRIDES: Final = (16, 32)
"""Output strides that are learned; 8 is the 16 of the same weights with finer steps."""

_WARM_UP: Final = 0.06
"""Share of the training in which the learning rate rises."""

_LAST_RATE: Final = 0.01
"""Learning rate at the end, over the highest."""

_SMALL_UNTIL: Final = 0.65
"""Share of the training with the smaller of both sizes, which teaches as much in half the time."""

_CHECKPOINT_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Settings:
    """How to train.

    Args:
        pool: folder of prepared pictures.
        checkpoint: file to keep the state in.
        start: checkpoint to take the first weights from; None to begin at nothing.
        sizes: (width, height) of the pictures that the network sees, px: in most of the training,
            and at its end.
        batch: pictures per step, of all processes together.
        rate: highest learning rate.
        minutes: after which it ends, pauses not counted; those before a resume count.
        pictures: after how many seen pictures it ends; the first of both limits counts.
        seed: decides the start, the order of the pictures and what is done to them.
        processes: that learn together on the CPU, one thread each.
        loaders: processes that prepare pictures for each of them; 0 does it in between.
    """

    pool: Path
    checkpoint: Path
    start: Path | None
    sizes: tuple[tuple[int, int], tuple[int, int]]
    batch: int
    rate: float
    minutes: float
    pictures: int
    seed: int
    processes: int
    loaders: int


@dataclass(slots=True)
class Progress:
    """How far it is; `earlier_` counts the training whose weights this one began with."""

    pictures: int = 0
    elapsed_s: float = 0.0
    steps: int = 0
    losses: tuple[float, ...] = ()
    earlier_pictures: int = 0
    earlier_s: float = 0.0

    @property
    def all_pictures(self) -> int:
        """Pictures seen, those of earlier trainings too."""
        return self.earlier_pictures + self.pictures

    @property
    def all_s(self) -> float:
        """Seconds of training, those of earlier trainings too."""
        return self.earlier_s + self.elapsed_s

    def share(self, settings: Settings) -> float:
        """0 at the start, 1 at the end."""
        by_time = self.elapsed_s / (60 * settings.minutes)
        return min(1.0, max(by_time, self.pictures / settings.pictures))


class _Varied(Dataset[tuple[Tensor, ...]]):
    """Pictures as they are seen: which one, and how it is varied, follows from seed and number."""

    def __init__(self, settings: Settings) -> None:
        self._pool = Pool(settings.pool)
        self._settings = settings

    def __getitem__(self, what: tuple[int, tuple[int, int]]) -> tuple[Tensor, ...]:
        number, size = what
        epoch, index = divmod(number, len(self._pool))
        order = _order(self._settings.seed, epoch, len(self._pool))
        rng = np.random.default_rng([self._settings.seed, number, 1])
        sample = varied(self._pool[int(order[index])], size, rng)
        targets = (array for stride in TRAINED_STRIDES for array in targets_of(sample, stride).arrays())
        image = torch.from_numpy(np.ascontiguousarray(sample.image.transpose(2, 0, 1)))
        return image, *(torch.from_numpy(array) for array in targets)


@functools.lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """In which order all pictures are seen once."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def learn(settings: Settings, *, resume: bool, report: Callable[[Progress, float], None]) -> Path:
    """Train until the time or the pictures are over.

    Args:
        settings: how.
        resume: go on from the checkpoint instead of starting anew.
        report: told now and then how far it is, and the learning rate.

    Returns:
        The checkpoint, which `load` reads.

    Raises:
        ModelError: there is no checkpoint to resume from.
    """
    wanted = settings.checkpoint if resume else settings.start
    if wanted is not None:
        _read(wanted, PoseNet())  # before any process starts
    processes = 1 if torch.cuda.is_available() else settings.processes
    if processes == 1:
        _learn(0, settings, None, resume, report)
        return settings.checkpoint
    # Threads of one process wait for each other after every layer, which on a busy machine takes longer than
    # the work; processes do so once in a step.
    spawn = torch.multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="posed-train-") as folder:
        meeting = f"{folder}/meeting"
        others = [
            spawn.Process(target=_learn, args=(rank, settings, meeting, resume, _silent))
            for rank in range(1, processes)
        ]
        for process in others:
            process.start()
        try:
            _learn(0, settings, meeting, resume, report)
            for process in others:
                process.join(timeout=10)
        finally:
            for process in others:
                process.kill()
    return settings.checkpoint


def _silent(_progress: Progress, _rate: float) -> None:
    """What the other processes report."""


def _learn(
    rank: int,
    settings: Settings,
    meeting: str | None,
    resume: bool,
    report: Callable[[Progress, float], None],
) -> None:
    """One process of the training; `meeting` is the file where it meets the others, if there are any."""
    processes = 1 if meeting is None else settings.processes
    if rank:
        # Ctrl-C reaches every process of a terminal; the first one ends the others.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.manual_seed(settings.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(1)
    model = PoseNet().to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(_groups(model), lr=settings.rate)
    progress = _begin(settings, model, optimizer, resume=resume)
    if meeting is not None:
        store = distributed.FileStore(meeting, processes)
        distributed.init_process_group("gloo", store=store, rank=rank, world_size=processes)
    model.train()
    saved_s = progress.elapsed_s
    batches = _batches(settings, progress, rank, processes)
    began = time.monotonic() - progress.elapsed_s
    try:
        while progress.share(settings) < 1:
            rate = _rate(progress.share(settings), settings.rate)
            batch = [part.to(device, non_blocking=True) for part in next(batches)]
            found = _step(model, optimizer, rate, batch, processes)
            progress.losses = tuple(
                0.98 * old + 0.02 * new for old, new in zip(progress.losses or found, found, strict=True)
            )
            progress.pictures += settings.batch
            progress.steps += 1
            progress.elapsed_s = _agreed(time.monotonic() - began, processes)
            if rank == 0 and progress.steps % 10 == 0:
                report(progress, rate)
            if rank == 0 and progress.elapsed_s - saved_s > _CHECKPOINT_S:
                _save(settings.checkpoint, model, optimizer, progress)
                saved_s = progress.elapsed_s
    finally:
        # Also after Ctrl-C, so that --resume loses nothing.
        if rank == 0:
            _save(settings.checkpoint, model, optimizer, progress)
    if meeting is not None:
        distributed.barrier()
        distributed.destroy_process_group()


def _groups(model: nn.Module) -> list[dict[str, Any]]:
    """Kernels decay; biases and norms do not."""
    kernels = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    return [{"params": kernels, "weight_decay": 1e-3}, {"params": others, "weight_decay": 0.0}]


def _rate(share: float, highest: float) -> float:
    """Up in a line, down in half a cosine. Source: one cycle, arXiv:1708.07120."""
    if share < _WARM_UP:
        return highest * (0.05 + 0.95 * share / _WARM_UP)
    left = 0.5 * (1 + math.cos(math.pi * (share - _WARM_UP) / (1 - _WARM_UP)))
    return highest * (_LAST_RATE + (1 - _LAST_RATE) * left)


def _agreed(elapsed_s: float, processes: int) -> float:
    """The time of the first process: all must learn at one rate, and end after the same step."""
    elapsed = torch.tensor(elapsed_s, dtype=torch.float64)
    if processes > 1:
        distributed.broadcast(elapsed, 0)
    return float(elapsed)


def _batches(settings: Settings, progress: Progress, rank: int, processes: int) -> Iterator[list[Tensor]]:
    """This process's part of every batch."""
    part = settings.batch // processes

    def numbers() -> Iterator[list[tuple[int, tuple[int, int]]]]:
        for first in itertools.count(progress.pictures + rank * part, settings.batch):
            size = settings.sizes[progress.share(settings) >= _SMALL_UNTIL]
            yield [(number, size) for number in range(first, first + part)]

    spawn = "spawn" if settings.loaders else None
    loader = DataLoader(
        _Varied(settings),
        batch_sampler=_Numbers(numbers()),
        num_workers=settings.loaders,
        multiprocessing_context=spawn,
        pin_memory=torch.cuda.is_available(),
    )
    return iter(loader)


class _Numbers:
    """What is in each batch, as the loader wants it."""

    def __init__(self, numbers: Iterator[list[Any]]) -> None:
        self._numbers = numbers

    def __iter__(self) -> Iterator[list[Any]]:
        return self._numbers


def _step(
    model: PoseNet, optimizer: torch.optim.Optimizer, rate: float, batch: Sequence[Tensor], processes: int
) -> tuple[float, ...]:
    images, targets = batch[0], batch[1:]
    each = len(targets) // len(TRAINED_STRIDES)
    heads = model(images, TRAINED_STRIDES)
    found = torch.stack(
        [
            losses(heads[stride], targets[index * each : (index + 1) * each])
            for index, stride in enumerate(TRAINED_STRIDES)
        ]
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    found.sum().backward()
    if processes > 1:
        _average(model, processes)
    nn.utils.clip_grad_norm_(model.parameters(), 20.0)
    optimizer.step()
    return tuple(found.detach().flatten().tolist())


def _average(model: nn.Module, processes: int) -> None:
    """Give every process the mean gradient and the mean statistics."""
    tensors = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    tensors += [buffer for buffer in model.buffers() if buffer.is_floating_point()]
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    distributed.all_reduce(flat)
    flat /= processes
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()


def _save(path: Path, model: PoseNet, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(progress)}
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def _begin(
    settings: Settings,
    model: PoseNet,
    optimizer: torch.optim.Optimizer,
    *,
    resume: bool,
) -> Progress:
    path = settings.checkpoint if resume else settings.start
    if path is None:
        return Progress()
    progress, moments = _read(path, model)
    if not resume:
        return Progress(earlier_pictures=progress.all_pictures, earlier_s=progress.all_s)
    optimizer.load_state_dict(moments)
    return progress


def _read(path: Path, model: PoseNet) -> tuple[Progress, dict[str, Any]]:
    """Load a checkpoint's weights into the model; returns how far it was, and the optimizer's state."""
    if not path.is_file():
        raise ModelError(f"{path}: must be a checkpoint to go on from, got no file")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        return Progress(**state["progress"]), state["optimizer"]
    except (OSError, EOFError, RuntimeError, KeyError, TypeError, pickle.UnpicklingError) as error:
        what = str(error).partition("\n")[0]
        raise ModelError(f"{path}: must be a checkpoint of this network, got {what}") from error


def load(path: Path) -> tuple[PoseNet, Progress]:
    """The network of a checkpoint, ready to infer, and how far its training was.

    Raises:
        ModelError: there is none, or something else.
    """
    model = PoseNet()
    progress, _ = _read(path, model)
    return model.to(memory_format=torch.channels_last).eval(), progress
