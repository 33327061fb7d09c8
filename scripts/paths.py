"""Where scripts find things: the checkout, what lies beside it, and what is kept from one run to the next."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
"""The checkout."""

SHARED: Final = ROOT.parent / "shared"
"""Real models, pictures and footage, which a fresh clone lacks."""

MODELS: Final = SHARED / "models"

CORAL_353X481: Final = MODELS / "posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"
CORAL_481X641: Final = MODELS / "posenet_mobilenet_v1_075_481_641_16_quant_decoder.tflite"
"""Coral's models of real people, for the CPU; those for the Edge TPU lie beside them."""

MOVENETS: Final = SHARED / "other_models" / "movenet"

MOVENET_LIGHTNING: Final = MOVENETS / "movenet_single_pose_lightning_ptq.tflite"
MOVENET_MULTIPOSE: Final = MOVENETS / "movenet_multipose_lightning_float16.tflite"
"""Google's MoveNets, for the CPU."""

FOOTAGE: Final = SHARED / "footage"
"""Labelled clips of real people."""

WALKERS: Final = SHARED / "testdata" / "walkers_768x576.mp4"
"""A video of people who walk past."""

CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "posed-check"
"""What takes long to make or to fetch is kept here."""

INFERENCES: Final = CACHE / "footage"
"""What networks, and a peer, say of each clip."""
