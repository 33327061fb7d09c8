"""The CPU engine on the runtime that is installed: what the network is given, and what comes out."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from posed.config import EngineConfig
from posed.engine import open_engine
from posed.engine.tflite import TfliteEngine, find_runtime, open_cpu
from posed.errors import EngineError, ModelError
from posed.frame import Image
from posed.model.tflite import parse_model, read_model
from posed.networks.posenet import Heads, PoseNet
from tests.make_tflite import (
    BACKWARD,
    CORAL,
    FORWARD,
    HEATMAPS,
    MID_OFFSETS,
    SEPARATE,
    SHORT_OFFSETS,
    HeadSpec,
    make_tflite,
    schema,
)

DTYPES = ["uint8", "int8", "float32"]


def opened(content: bytes) -> TfliteEngine:
    return open_cpu(parse_model(content, Path("pose.tflite")), threads=1, why="a test")


def picture(size: tuple[int, int], *marks: tuple[int, int]) -> Image:
    """Black, with red pixels at (row, column)."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    for row, column in marks:
        image[row, column, 0] = 255
    return image


def heads_of(content: bytes, image: Image) -> Heads:
    network = PoseNet.of(parse_model(content, Path("pose.tflite")))
    with open_cpu(network.model, threads=1, why="a test") as engine:
        return network.heads(engine.infer(image))


def check_offsets(heads: Heads) -> None:
    for head, spec in ((heads.short_offsets, SHORT_OFFSETS), (heads.mid_offsets, MID_OFFSETS)):
        expected = np.broadcast_to(np.float32(spec.biases), head.data.shape)
        np.testing.assert_allclose(head.values(), expected, atol=1e-4)


def logits(heads: Heads) -> np.ndarray:
    values = heads.heatmaps.values().astype(np.float64)
    return np.log(values / (1 - values)) if heads.sigmoid else values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("specs", [CORAL, CORAL[::-1], SEPARATE, SEPARATE[::-1]], ids=len)
def test_heads_come_out_right(dtype: str, sigmoid: bool, specs: Sequence[HeadSpec]) -> None:
    heads = heads_of(make_tflite(specs, dtype=dtype, sigmoid=sigmoid), np.full((49, 65, 3), 128, np.uint8))
    check_offsets(heads)
    assert heads.sigmoid is sigmoid
    assert heads.stride == 16
    assert heads.heatmaps.data.shape == (4, 5, 17)
    # Middle grey is 0 to the network but for half a step of a byte; a score has steps of 1/256.
    np.testing.assert_allclose(logits(heads)[1, 2], HEATMAPS.biases, atol=0.05)


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("uint8", np.arange(256, dtype=np.uint8)),
        ("int8", np.arange(-128, 128, dtype=np.int8)),
        ("float32", np.arange(256, dtype=np.uint8) * np.float32(1 / 127.5) - np.float32(1)),
    ],
)
def test_every_pixel_is_written_in_the_models_own_type(dtype: str, expected: np.ndarray) -> None:
    image = np.resize(np.arange(256, dtype=np.uint8), (49, 65, 3))
    content = make_tflite(dtype=dtype)
    model = parse_model(content, Path("pose.tflite"))
    interpreter = find_runtime().module.Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    TfliteEngine(model, interpreter, kind="cpu", device="this one", why="a test").infer(image)
    written = interpreter.get_tensor(model.input.index)[0]
    assert written.dtype == expected.dtype
    np.testing.assert_array_equal(written, expected[image])


@pytest.mark.parametrize("order", list(itertools.permutations(SEPARATE)))
def test_heads_come_out_right_in_any_order_of_the_file(order: tuple[HeadSpec, ...]) -> None:
    heads = heads_of(make_tflite(order), picture((65, 49)))
    check_offsets(heads)
    np.testing.assert_allclose(heads.heatmaps.values()[0, 0], np.array(HEATMAPS.biases) - 6, atol=0.13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stride", [8, 16, 32])
@pytest.mark.parametrize("size", [(97, 65), (288, 416), (100, 70)])
def test_a_mark_shows_in_the_cell_that_sees_it(dtype: str, stride: int, size: tuple[int, int]) -> None:
    heads = heads_of(make_tflite(size=size, stride=stride, dtype=dtype), picture(size, (stride, 2 * stride)))
    assert heads.stride == stride
    assert heads.heatmaps.data.shape[:2] == (-(-size[1] // stride), -(-size[0] // stride))
    scores = heads.heatmaps.values()[..., 0]
    assert np.unravel_index(scores.argmax(), scores.shape) == (1, 2)
    assert scores.max() - np.median(scores) == pytest.approx(2 * HEATMAPS.weight, abs=0.2)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [(288, 416), (512, 512)])
def test_a_mark_shows_in_its_cell_where_the_model_pads(dtype: str, size: tuple[int, int]) -> None:
    # The shapes of Coral's ResNets, 27×19 cells, and BodyPix, 33×33.
    heads = heads_of(make_tflite(size=size, padded=True, dtype=dtype), picture(size, (16, 32)))
    assert heads.stride == 16
    assert heads.heatmaps.data.shape[:2] == (size[1] // 16 + 1, size[0] // 16 + 1)
    scores = heads.heatmaps.values()[..., 0]
    assert scores.argmax() == np.ravel_multi_index((1, 2), scores.shape)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_displacements_of_different_scales_are_joined_as_real_values(dtype: str) -> None:
    specs = (HEATMAPS, SHORT_OFFSETS, FORWARD, replace(BACKWARD, scale=1 / 4))
    heads = heads_of(make_tflite(specs, dtype=dtype), picture((65, 49)))
    assert heads.mid_offsets.data.dtype == np.float32
    check_offsets(heads)


def test_displacements_of_one_scale_are_joined_as_they_are() -> None:
    heads = heads_of(make_tflite(SEPARATE), picture((65, 49)))
    assert heads.mid_offsets.data.dtype == np.uint8
    assert heads.mid_offsets.scale == FORWARD.scale


def test_a_decoder_op_at_the_end_changes_nothing() -> None:
    image = picture((65, 49), (16, 16))
    plain = heads_of(make_tflite(), image)
    decoded = heads_of(make_tflite(decoder={"stride": 16, "score_threshold": 0.25}), image)
    np.testing.assert_array_equal(decoded.heatmaps.data, plain.heatmaps.data)
    np.testing.assert_array_equal(decoded.mid_offsets.data, plain.mid_offsets.data)


def test_outputs_stay_as_they_are_when_the_next_picture_runs() -> None:
    with opened(make_tflite()) as engine:
        first, *_ = engine.infer(picture((65, 49), (0, 0)))
        kept = first.data.copy()
        second, *_ = engine.infer(picture((65, 49)))
    np.testing.assert_array_equal(first.data, kept)
    assert (second.data != kept).any()


def test_an_engine_says_what_it_is() -> None:
    model = parse_model(make_tflite(), Path("pose.tflite"))
    with open_engine(EngineConfig(kind="cpu"), model, None) as engine:
        assert engine.kind == "cpu"
        assert engine.device == find_runtime().name
        assert engine.why == "engine.kind: cpu"


def test_a_compiled_model_is_refused_before_the_runtime_sees_it() -> None:
    compiled = parse_model(make_tflite(edgetpu=True), Path("pose_edgetpu.tflite"))
    with pytest.raises(
        ModelError, match=r"^pose_edgetpu\.tflite: must be a plain model for the CPU"
    ) as caught:
        open_engine(EngineConfig(kind="cpu"), None, compiled)
    assert "\n" not in str(caught.value)


def test_a_model_that_the_runtime_cannot_run_is_one_line() -> None:
    mystery = make_tflite(edgetpu=True).replace(b"edgetpu-custom-op", b"mystery-custom-op")
    with pytest.raises(
        ModelError, match=r"must be a model that .* can run, got: .*mystery-custom-op"
    ) as caught:
        opened(mystery)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("head", [0, 1, 2])
@pytest.mark.parametrize("stride", [8, 32])
def test_a_model_of_other_shapes_than_said_is_refused(head: int, stride: int) -> None:
    specs = list(CORAL)
    specs[head] = replace(specs[head], stride=stride)
    said = rf"^pose.tflite: '{specs[head].name}' must be \(1, 4, 5, \d+\) as the file says, got \(1, "
    with pytest.raises(ModelError, match=said):
        opened(make_tflite(specs))


def test_a_model_without_its_weights_is_refused_when_opened(shared: Path) -> None:
    path = shared / "models/posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"
    content = bytearray(path.read_bytes())
    # A buffer whose length is 0 has no data: found when the network first runs, not before.
    model = parse_model(bytes(content), path)
    with open_cpu(model, threads=1, why="whole") as engine:
        assert engine.infer(np.zeros((353, 481, 3), np.uint8))[0].data.shape == (23, 31, 17)
    at = _largest_buffer(bytes(content))
    content[at : at + 4] = bytes(4)
    with pytest.raises(ModelError, match="must be a model that"):
        open_cpu(parse_model(bytes(content), path), threads=1, why="damaged")


def _largest_buffer(content: bytes) -> int:
    """Where the length of the largest buffer is, which stands before its bytes."""
    model = schema.Model.GetRootAs(content)
    buffers = [model.Buffers(index).DataAsNumpy() for index in range(model.BuffersLength())]
    return content.index(max(buffers, key=np.size).tobytes()) - 4


def test_no_model_at_all_is_one_line() -> None:
    with pytest.raises(ModelError, match="must have a model"):
        open_engine(EngineConfig(kind="cpu"), None, None)


def test_a_runtime_without_fast_kernels_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The other runtime's package, with this one's interpreter in it: no Python has both for all numpys."""
    with opened(make_tflite()):
        assert len(caplog.messages) == find_runtime().slow
    caplog.clear()
    package = tmp_path / "tflite_runtime"
    package.mkdir()
    (package / "__init__.py").write_text("__version__ = '2.14.0'\n")
    there = find_runtime().module.__name__
    (package / "interpreter.py").write_text(f"import sys\nInterpreter = sys.modules[{there!r}].Interpreter\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("posed.engine.tflite.find_runtime", lambda: find_runtime(["tflite_runtime"]))
    with opened(make_tflite()) as engine:
        assert engine.device == "tflite-runtime 2.14.0"
    (message,) = caplog.messages
    assert message.startswith("tflite-runtime 2.14.0 is the only TFLite runtime here, and takes 11 times")


def test_no_runtime_is_one_line_that_says_what_to_install() -> None:
    with pytest.raises(EngineError) as caught:
        find_runtime(["no_such_runtime", "nor_this_one"])
    assert str(caught.value) == (
        "no TFLite runtime: install ai-edge-litert, or tflite-runtime where there is none "
        "(No module named 'no_such_runtime'; No module named 'nor_this_one')"
    )


def test_a_runtime_that_does_not_load_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "broken_runtime"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text("raise ImportError('built for another numpy')\n")
    monkeypatch.syspath_prepend(tmp_path)
    there = find_runtime().module.__package__
    assert there is not None
    assert find_runtime(["broken_runtime", there]) == find_runtime()
    with pytest.raises(EngineError, match="built for another numpy"):
        find_runtime(["broken_runtime"])


@pytest.mark.parametrize(
    ("name", "stride"),
    [
        ("posenet_mobilenet_v1_075_353_481_16_quant_decoder", 16),
        ("float/posenet_mobilenet_v1_075_353_481_8_float", 8),
        ("float/posenet_mobilenet_v1_100_257_257_32_float", 32),
    ],
)
def test_a_published_model_sees_noses_in_a_picture(shared: Path, name: str, stride: int) -> None:
    network = PoseNet.of(read_model(shared / f"models/{name}.tflite"))
    image = cv2.cvtColor(cv2.imread(str(shared / "testdata/couple_640x480.bmp")), cv2.COLOR_BGR2RGB)
    resized = np.asarray(cv2.resize(image, network.model.size), np.uint8)
    with open_cpu(network.model, threads=2, why="a test") as engine:
        heads = network.heads(engine.infer(resized))
    assert heads.stride == stride
    assert heads.mid_offsets.data.shape[2] == 64
    noses = heads.heatmaps.values()[..., 0]
    assert noses.max() > 0  # a logit: more likely than not
    assert np.median(noses) < -3
