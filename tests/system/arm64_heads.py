"""Writes what models say of pictures, in a process of its own: on another processor, for `test_arm64`.

    python -m tests.system.arm64_heads PICTURES OUT.npz MODEL...

PICTURES is a folder; each MODEL is a name of the catalogue or a path. A bundled model, which is one by name,
looks at drawn pictures alone: of photographs, which it was not trained on, it says something else already
where OpenCV has rounded a pixel the other way. In the file are, of each model and picture, the output
tensors (`MODEL/PICTURE/INDEX`), and the keypoints of all poses (`MODEL/PICTURE/poses`), px of the picture.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posed.camera.images import read_image
from posed.config import DecodeConfig, EngineConfig
from posed.engine import open_engine
from posed.frame import Letterbox
from posed.networks.pair import load_pair


def main(pictures: str, out: str, *models: str) -> None:
    """Run every model on every picture, on the CPU."""
    said: dict[str, NDArray[Any]] = {}
    for name in models:
        pair = load_pair(name)
        with open_engine(EngineConfig(kind="cpu"), pair.cpu, None) as engine:
            of_drawings = "/" not in name
            for path in sorted(Path(pictures).glob("drawn*" if of_drawings else "*")):
                image = read_image(path)
                letterbox = Letterbox((image.shape[1], image.shape[0]), pair.model.size)
                outputs = engine.infer(letterbox.apply(image))
                key = f"{pair.name}/{path.stem}"
                said |= {f"{key}/{index}": output.data for index, output in enumerate(outputs)}
                poses = pair.network.poses(outputs, letterbox, DecodeConfig())
                said[f"{key}/poses"] = np.array([pose.points for pose in poses]).reshape(-1, 17, 2)
    np.savez(out, **said)  # type: ignore[arg-type]  # its stub has a name for what comes first


if __name__ == "__main__":
    main(*sys.argv[1:])
