"""Files of networks that posed does not run are refused by the name of what they hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from posed.errors import ModelError
from posed.model.tflite import Tensor, parse_model
from posed.networks import INPUT_SIZE, network_of
from tests.make_tflite import make_tflite

LANDMARKS = ((1, 195), (1, 1), (1, 256, 256, 1), (1, 64, 64, 39), (1, 117))
"""The outputs of MediaPipe's pose_landmark_full.tflite."""


def refusal(*shapes: tuple[int, ...]) -> str:
    """The line that a file with outputs of these shapes is refused with."""
    model = parse_model(make_tflite(), Path("net.tflite"))
    outputs = tuple(Tensor(index, "Identity", shape, "float32", 0, 0) for index, shape in enumerate(shapes))
    with pytest.raises(ModelError) as caught:
        network_of(replace(model, outputs=outputs), INPUT_SIZE)
    return str(caught.value)


@pytest.mark.parametrize("shapes", [LANDMARKS, LANDMARKS[::-1]])
def test_a_pose_landmark_model_is_named(shapes: tuple[tuple[int, ...], ...]) -> None:
    assert refusal(*shapes) == "net.tflite: a pose landmark model of MediaPipe, which posed does not run"


@pytest.mark.parametrize("places", [896, 2254])
def test_a_pose_detection_model_is_named(places: int) -> None:
    line = refusal((1, places, 12), (1, places, 1))
    assert line == "net.tflite: a pose detection model of MediaPipe, which posed does not run"


def test_boxes_without_scores_are_not_taken_for_mediapipes() -> None:
    assert "heads: must include one heatmap head" in refusal((1, 896, 12), (1, 12, 1))
