from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import flatbuffers
import numpy as np
import pytest

from posed.errors import ImageError, ModelError
from posed.model.architecture import mobilenet_v1
from posed.model.edgetpu import Operator, compiler_lines, operators_of
from posed.model.export import (
    CALIBRATION_LIMIT,
    _finish,
    calibration_pictures,
    export,
    export_tfjs,
    parsed_precision,
    parsed_size,
)
from posed.model.tflite import parse_model
from tests.forward import random_weights
from tests.make_tflite import CORAL, make_tflite, renamed, schema
from tests.run_posed import posed
from tests.test_model_tfjs import write_tfjs

SMALL = mobilenet_v1(0.1)
SIZE = (97, 65)
PICTURE = np.full((65, 97, 3), 90, np.uint8)


@pytest.fixture
def no_tensorflow(monkeypatch):
    """As on a machine without it: importing fails."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)


def export_small(folder: Path, **changes):
    arguments = {"stride": 16, "size": SIZE, "quantize": "float32", "out": folder / "out.tflite"} | changes
    return export(random_weights(SMALL), SMALL, **arguments)


@pytest.mark.usefixtures("no_tensorflow")
def test_without_tensorflow_one_line_says_how_to_get_it(tmp_path):
    with pytest.raises(ModelError, match=r"^export: needs TensorFlow: pip install 'posed\[export\]'"):
        export_small(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_tensorflow")
def test_wrong_options_are_reported_before_tensorflow_is_missed(tmp_path):
    with pytest.raises(ModelError, match=r"size: .* got 96x65; nearest: 81x65 or 97x65$"):
        export_small(tmp_path, size=(96, 65))
    with pytest.raises(ModelError, match="stride: must be one of"):
        export_small(tmp_path, stride=4)
    with pytest.raises(ModelError, match=r"out.tflite: must be in a folder that is there"):
        export_small(tmp_path, out=tmp_path / "missing" / "out.tflite")
    with pytest.raises(ModelError, match=r"must be a file, got a folder or device"):
        export_small(tmp_path, out=tmp_path)
    os.mkfifo(tmp_path / "pipe")  # as /dev/null, which would no longer be one
    with pytest.raises(ModelError, match=r"must be a file, got a folder or device"):
        export_small(tmp_path, out=tmp_path / "pipe")
    with pytest.raises(ModelError, match=r"cannot be accessed \(File name too long\)"):
        export_small(tmp_path, out=tmp_path / ("x" * 300) / "out.tflite")


def test_uint8_without_pictures_is_refused(tmp_path):
    with pytest.raises(ModelError, match="calibrate: uint8 needs at least one picture, got none"):
        export_small(tmp_path, quantize="uint8")


def test_calibration_pictures_of_another_size_are_refused(tmp_path):
    with pytest.raises(
        ModelError, match=r"calibrate: must be \(65, 97, 3\) uint8, got \(65, 97, 3\) float32"
    ):
        export_small(tmp_path, quantize="uint8", calibration=[PICTURE, PICTURE.astype(np.float32)])


@pytest.mark.parametrize("name", ["empty", "missing"])
def test_an_empty_calibration_folder_is_refused(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no picture")
    with pytest.raises(ModelError, match=rf"calibrate .*{name}: must be a picture, .* none found"):
        calibration_pictures(tmp_path / name, SIZE)


def test_calibration_pictures_are_letterboxed(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "1.png"), np.full((50, 50, 3), (0, 0, 200), np.uint8))
    (picture,) = calibration_pictures(tmp_path, SIZE)
    assert picture.shape == (65, 97, 3)
    assert picture[32, 48].tolist() == [200, 0, 0]
    assert picture[32, 0].tolist() == [127, 127, 127]


def test_of_very_many_calibration_pictures_a_sample_is_taken(tmp_path):
    import cv2

    for index in range(2 * CALIBRATION_LIMIT + 1):
        cv2.imwrite(str(tmp_path / f"{index}.png"), np.full((2, 2, 3), index % 256, np.uint8))
    levels = [picture[32, 48, 0] for picture in calibration_pictures(tmp_path, SIZE)]
    assert levels == [index % 256 for index in range(0, 2 * CALIBRATION_LIMIT + 1, 3)]


def test_a_damaged_calibration_picture_is_named(tmp_path):
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"1\.png"):
        calibration_pictures(tmp_path, SIZE)


@pytest.mark.parametrize("text", ["481x353", "481X353", "481×353"])
def test_a_size_is_width_by_height(text):
    assert parsed_size(text) == (481, 353)


@pytest.mark.parametrize(
    "text", ["", "481", "481x", "481x353x3", "-1x5", "481 x 353", "9999999x1", "٤٨١x353"]
)
def test_a_size_that_is_none_is_refused(text):
    with pytest.raises(ModelError, match="size: must be WIDTHxHEIGHT, got"):
        parsed_size(text)


def test_a_precision_that_there_is_none_of_is_refused():
    assert parsed_precision("uint8") == "uint8"
    with pytest.raises(ModelError, match="quantize: must be float32 or uint8, got 'int4'"):
        parsed_precision("int4")


def test_stride_32_of_a_network_native_to_16_is_refused(tmp_path):
    native_16 = mobilenet_v1(0.5, native_stride=16)
    write_tfjs(tmp_path, random_weights(native_16), native_16)
    with pytest.raises(
        ModelError, match=r"stride: must be at most 16 for mobilenet_v1_050, got 32; its layers"
    ):
        export_tfjs(
            tmp_path,
            stride=32,
            size=SIZE,
            quantize="float32",
            calibrate=None,
            out=tmp_path / "out.tflite",
        )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["--size", "480x353"], "nearest: 465x353 or 481x353"),
        (["--size", "65505x65505"], "size: sides must be at most 4097, got 65505x65505"),
        (["--size", "big"], "size: must be WIDTHxHEIGHT, got 'big'"),
        (["--quantize", "int4"], "quantize: must be float32 or uint8, got 'int4'"),
        (["--stride", "64", "--size", "65x65"], "stride: must be one of 8, 16, 32, got 64"),
        (
            ["--calibrate", "/nonexistent", "--quantize", "uint8"],
            "must be a picture, a folder of pictures or a glob, none found",
        ),
        (["--calibrate", "pictures"], "calibrate: must be left out for float32, got pictures"),
    ],
)
def test_the_command_says_in_one_line_what_is_wrong(tmp_path, options, line):
    write_tfjs(tmp_path, random_weights(mobilenet_v1(0.25)))
    done = posed(tmp_path, "model", "export", str(tmp_path), *options, "-o", str(tmp_path / "out.tflite"))
    assert (done.returncode, done.stdout) == (3, "")
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out.tflite").exists()


def test_outputs_are_named_for_their_content_byte_for_byte():
    names = [f"StatefulPartitionedCall:{index}" for index in range(3)]
    heads = [renamed(head, name) for head, name in zip(CORAL, names, strict=True)]
    before = make_tflite(heads, dtype="float32")
    content = bytearray(before)
    with pytest.raises(ValueError, match="not found"):
        content.index(b"short_offsets")
    _finish(content, (65, 49), 16)
    assert len(content) == len(before)
    model = parse_model(bytes(content), Path("out.tflite"))
    assert model.input.name == "image"
    assert [tensor.name for tensor in model.outputs] == ["heatmaps", "short_offsets", "mid_offsets"]


def test_a_full_temporary_folder_is_named():
    """TensorFlow 2.21 then leaves out the way over a SavedModel, which names outputs at length."""
    heads = [renamed(head, f"Identity_{index}") for index, head in enumerate(CORAL)]
    with pytest.raises(ModelError, match=rf"must have room in {tempfile.gettempdir()} .* or another TMPDIR"):
        _finish(bytearray(make_tflite(heads, dtype="float32")), (65, 49), 16)


def test_the_edge_tpu_maps_every_convolution_of_a_uint8_model():
    operators = operators_of(make_tflite(CORAL))
    assert operators == (Operator("CONV_2D", 1, ""),) * 3


def test_the_edge_tpu_maps_nothing_of_a_float_model():
    operators = operators_of(make_tflite(CORAL, dtype="float32"))
    assert {operator.obstacle for operator in operators} == {"is not quantised"}
    assert list(compiler_lines(operators, Path("a.tflite"))) == [
        "Edge TPU: maps nothing of a float32 model; it needs --quantize uint8"
    ]


def test_a_dilated_depthwise_convolution_keeps_the_rest_on_the_cpu():
    content = with_depthwise(make_tflite(CORAL), number=1, dilation=2)
    assert operators_of(content) == (
        Operator("CONV_2D", 1, ""),
        Operator("DEPTHWISE_CONV_2D", 3, "is dilated by 2"),
        Operator("CONV_2D", 1, "comes after one that is left"),
    )


def test_a_plain_depthwise_convolution_is_mapped():
    content = with_depthwise(make_tflite(CORAL), number=1, dilation=1)
    assert operators_of(content)[1] == Operator("DEPTHWISE_CONV_2D", 3, "")


def with_depthwise(content: bytes, *, number: int, dilation: int) -> bytes:
    """The same file with one operator called a depthwise convolution."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    operator = model.subgraphs[0].operators[number]
    code = model.operatorCodes[operator.opcodeIndex]
    code.builtinCode = code.deprecatedBuiltinCode = 4
    code.version = 3
    operator.builtinOptionsType, operator.builtinOptions = 2, schema.DepthwiseConv2DOptionsT()
    operator.builtinOptions.dilationWFactor = operator.builtinOptions.dilationHFactor = dilation
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_the_compilers_command_is_given_to_be_pasted():
    lines = list(compiler_lines((Operator("CONV_2D", 3, ""),) * 2, Path("my models/a.tflite")))
    assert lines == [
        "Edge TPU: no operator's version is too new for edgetpu_compiler 16.0 (CONV_2D 3)",
        "Edge TPU: all 2 operators are mapped",
        "Edge TPU: my models/a_edgetpu.tflite comes of: "
        "edgetpu_compiler --show_operations --out_dir 'my models' 'my models/a.tflite'",
    ]


def test_what_stays_on_the_cpu_is_counted_with_reasons():
    operators = (
        Operator("CONV_2D", 3, ""),
        Operator("DEPTHWISE_CONV_2D", 3, "is dilated by 2"),
        *(Operator("CONV_2D", 3, "comes after one that is left"),) * 2,
    )
    assert list(compiler_lines(operators, Path("a.tflite")))[1] == (
        "Edge TPU: 1 of 4 operators are mapped, better for CPUs; left: 1 DEPTHWISE_CONV_2D: is dilated by 2; "
        "2 CONV_2D: comes after one that is left"
    )


@pytest.mark.parametrize(("kind", "version"), [("CONV_2D", 6), ("QUANTIZE", 3)])
def test_an_operator_too_new_for_the_compiler_is_named(kind, version):
    operators = (Operator("DEPTHWISE_CONV_2D", 3, ""), Operator(kind, version, ""))
    assert list(compiler_lines(operators, Path("a.tflite"))) == [
        f"Edge TPU: edgetpu_compiler 16.0 refuses {kind} {version}; the newest versions it reads are "
        "CONV_2D 5, QUANTIZE 2"
    ]


@pytest.mark.parametrize(("kind", "version"), [("CONV_2D", 5), ("QUANTIZE", 2)])
def test_the_newest_versions_that_the_compiler_reads_are_accepted(kind, version):
    lines = list(compiler_lines((Operator(kind, version, ""),), Path("a.tflite")))
    assert not any("refuses" in line for line in lines)
