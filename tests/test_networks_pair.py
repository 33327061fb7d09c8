"""The plain and the compiled file of one network, read and held against each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from posed.errors import ModelError
from posed.networks.pair import Pair, load_pair
from tests.make_tflite import CORAL, SEPARATE, HeadSpec, make_tflite, ramp


def pair_of(folder: Path, cpu: bytes, edgetpu: bytes) -> Pair:
    (folder / "net.tflite").write_bytes(cpu)
    (folder / "net_edgetpu.tflite").write_bytes(edgetpu)
    return load_pair(str(folder / "net.tflite"))


def test_the_network_is_that_of_the_plain_file(tmp_path: Path) -> None:
    # A compiled float model does not show its sigmoid.
    compiled = make_tflite(dtype="float32", edgetpu=True)
    pair = pair_of(tmp_path, make_tflite(dtype="float32", sigmoid=True), compiled)
    assert pair.network.model is pair.model is pair.cpu
    assert dict(pair.network.facts())["heatmap values"] == "scores (after the sigmoid)"


def test_both_files_give_the_heads_in_the_same_order(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, make_tflite(CORAL[::-1]), make_tflite([CORAL[1], *CORAL[::2]], edgetpu=True))
    for model in (pair.cpu, pair.edgetpu):
        assert model is not None
        assert [head.name for head in model.outputs] == ["heatmap", "short_offsets", "mid_offsets"]


def test_files_whose_heads_are_cut_otherwise_are_one_network(tmp_path: Path) -> None:
    pair = pair_of(tmp_path, make_tflite(SEPARATE[::-1]), make_tflite(CORAL, edgetpu=True))
    assert pair.edgetpu is not None
    assert len(pair.edgetpu.outputs) == 3


@pytest.mark.parametrize(
    ("compiled", "got"),
    [
        (make_tflite(size=(97, 65), edgetpu=True), "65×97 px, 5×7 cells"),
        (make_tflite(stride=8, edgetpu=True), "49×65 px, 7×9 cells"),
    ],
)
def test_files_of_two_networks_are_refused(tmp_path: Path, compiled: bytes, got: str) -> None:
    with pytest.raises(ModelError) as caught:
        pair_of(tmp_path, make_tflite(), compiled)
    assert str(caught.value) == (
        f"{tmp_path / 'net_edgetpu.tflite'}: must have the size and grid of net.tflite beside it "
        f"(49×65 px, 4×5 cells), got {got}"
    )


@pytest.mark.parametrize("at_fault", ["net.tflite", "net_edgetpu.tflite"])
def test_a_file_that_holds_no_network_is_named(tmp_path: Path, at_fault: str) -> None:
    classifier = make_tflite([HeadSpec("classes", ramp(0, 8))], edgetpu="edgetpu" in at_fault)
    files = {"net.tflite": make_tflite(), "net_edgetpu.tflite": make_tflite(edgetpu=True)}
    with pytest.raises(ModelError, match=rf"/{at_fault}: heads: must include one heatmap head"):
        pair_of(tmp_path, *(files | {at_fault: classifier}).values())
