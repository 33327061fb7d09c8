from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from posed.errors import ModelError
from posed.model.architecture import mobilenet_v1
from posed.model.tfjs import read_tfjs
from tests.forward import random_weights

SMALL = mobilenet_v1(0.25)


def google_name(key):
    layer, what = key.split("/")
    if layer in {"heatmap", "offset", "displacement_fwd", "displacement_bwd"}:
        return f"MobilenetV1/{layer}_2/{'weights' if what == 'weights' else 'Conv2D_bias'}"
    half, index = layer.split("_")
    conv = f"Conv2d_{index}" + ("" if half == "conv" else f"_{half}")
    if half == "depthwise":
        what = {"weights": "depthwise_weights", "bias": "depthwise_bias"}[what]
        return f"MobilenetV1/{'MobilenetV1/' if 'bias' in what else ''}{conv}/{what}"
    return (
        f"MobilenetV1/{conv}/weights" if what == "weights" else f"MobilenetV1/MobilenetV1/{conv}/Conv2D_bias"
    )


def quantised(values, dtype):
    if dtype == "float32":
        return values, {}
    low, high = float(values.min()), float(values.max())
    scale = (high - low) / np.iinfo(dtype).max or 1.0
    steps = np.round((values - low) / scale).astype(dtype)
    return steps, {"quantization": {"min": low, "scale": scale, "dtype": dtype}}


def write_tfjs(folder, weights, network=SMALL, *, stride=16, dtype="float32", shard_bytes=250_000):
    """A folder as Google publishes it: shards of a fixed size, numbers of the graph as strings."""
    stream, entries = b"", []
    for key, values in weights.items():
        stored, quantisation = quantised(values, dtype)
        stream += stored.tobytes()
        entries.append(
            {"name": google_name(key), "shape": list(values.shape), "dtype": "float32"} | quantisation
        )
    shards = [stream[at : at + shard_bytes] for at in range(0, len(stream), shard_bytes)]
    names = [f"group1-shard{index + 1}of{len(shards)}.bin" for index in range(len(shards))]
    for name, shard in zip(names, shards, strict=True):
        (folder / name).write_bytes(shard)
    nodes = [{"name": "sub_2", "op": "Placeholder", "attr": {}}]
    for layer in network.layers(stride):
        if layer.depthwise:
            index = layer.name.removeprefix("depthwise_")
            attributes = {
                "strides": {"list": {"i": ["1", str(layer.stride), str(layer.stride), "1"]}},
                "dilations": {"list": {"i": ["1", str(layer.dilation), str(layer.dilation), "1"]}},
            }
            name = f"MobilenetV1/MobilenetV1/Conv2d_{index}_depthwise/BatchNorm/batchnorm/add_1/conv"
            nodes.append({"name": name, "op": "DepthwiseConv2dNative", "attr": attributes})
    model = {
        "format": "graph-model",
        "modelTopology": {"node": nodes},
        "weightsManifest": [{"paths": names, "weights": entries}],
    }
    (folder / f"model-stride{stride}.json").write_text(json.dumps(model))
    return folder


def change(folder, edit):
    """Edit the JSON of a folder."""
    path = next(folder.glob("model-stride*.json"))
    model = json.loads(path.read_text())
    edit(model)
    path.write_text(json.dumps(model))


@pytest.mark.parametrize(("dtype", "steps"), [("float32", np.inf), ("uint8", 255), ("uint16", 65535)])
def test_weights_of_every_quantisation_are_read(tmp_path, dtype, steps):
    weights = random_weights(SMALL)
    found, network = read_tfjs(write_tfjs(tmp_path, weights, dtype=dtype))
    assert network == SMALL
    assert found.keys() == weights.keys()
    for key, values in weights.items():
        assert found[key].dtype == np.float32
        np.testing.assert_allclose(found[key], values, atol=float(np.ptp(values)) / steps + 1e-7)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_native_stride_is_read_off_any_graph(tmp_path, stride):
    _, network = read_tfjs(write_tfjs(tmp_path, random_weights(SMALL), stride=stride))
    assert network.native_stride == 32


@pytest.mark.parametrize("stride", [8, 16])
def test_a_network_native_to_16_is_known_as_such(tmp_path, stride):
    native_16 = mobilenet_v1(0.5, native_stride=16)
    found = read_tfjs(write_tfjs(tmp_path, random_weights(native_16), native_16, stride=stride))[1]
    assert found == native_16


def test_a_missing_shard_is_named(tmp_path):
    write_tfjs(tmp_path, random_weights(SMALL))
    missing = max(tmp_path.glob("*.bin"))
    missing.unlink()
    with pytest.raises(ModelError, match=rf"model-stride16.json: shard {missing.name}: must be beside it"):
        read_tfjs(tmp_path)


def test_a_shard_cut_short_is_refused(tmp_path):
    write_tfjs(tmp_path, random_weights(SMALL))
    last = max(tmp_path.glob("*.bin"))
    last.write_bytes(last.read_bytes()[:-10])
    with pytest.raises(ModelError, match=r"must end at byte \d+ of the shards, which have \d+$"):
        read_tfjs(tmp_path)


def test_a_shard_too_long_is_refused(tmp_path):
    write_tfjs(tmp_path, random_weights(SMALL))
    last = max(tmp_path.glob("*.bin"))
    last.write_bytes(last.read_bytes() + b"1234")
    with pytest.raises(ModelError, match=r"shards .*: must hold \d+ bytes, got \d+$"):
        read_tfjs(tmp_path)


@pytest.mark.parametrize(
    "key", ["conv_0/bias", "depthwise_5/weights", "heatmap/bias", "displacement_bwd/weights"]
)
def test_a_missing_layer_is_named(tmp_path, key):
    weights = random_weights(SMALL)
    del weights[key]
    with pytest.raises(ModelError, match=f"must have layer {key} of (?i:mobilenet_?v1)"):
        read_tfjs(write_tfjs(tmp_path, weights))


def test_a_layer_missing_in_the_graph_is_named(tmp_path):
    write_tfjs(tmp_path, random_weights(SMALL))
    change(tmp_path, lambda model: model["modelTopology"]["node"].pop(4))
    with pytest.raises(ModelError, match="graph: must have the layer depthwise_4 of MobileNetV1, got none"):
        read_tfjs(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"modelTopology": ', "\x00\xff", "[" * 100_000])
def test_a_corrupt_json_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "model-stride16.json").write_text(text)
    with pytest.raises(ModelError, match=r"model-stride16.json: must be JSON") as error:
        read_tfjs(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "3",
        '{"weightsManifest": 3, "modelTopology": {}}',
        '{"weightsManifest": [], "modelTopology": {}}',
        '{"weightsManifest": [{"paths": [], "weights": [{}]}], "modelTopology": {"node": []}}',
    ],
)
def test_json_that_is_no_model_is_refused(tmp_path, text):
    (tmp_path / "model-stride16.json").write_text(text)
    with pytest.raises(ModelError, match=r"model-stride16.json: must be a"):
        read_tfjs(tmp_path)


def test_damaged_numbers_in_the_json_are_refused(tmp_path):
    def no_dilation(model):
        model["modelTopology"]["node"][3]["attr"]["dilations"]["list"]["i"] = ["1", "0", "0", "1"]

    def no_scale(model):
        model["weightsManifest"][0]["weights"][0]["quantization"]["scale"] = float("nan")

    def huge(model):
        model["weightsManifest"][0]["weights"][0]["shape"] = [10**9, 10**9]

    def negative(model):
        model["weightsManifest"][0]["weights"][0]["shape"] = [-1]

    def unknown_type(model):
        model["weightsManifest"][0]["weights"][0]["quantization"]["dtype"] = "float64"

    def overflowing(model):
        model["weightsManifest"][0]["weights"][0]["quantization"]["scale"] = 1e308

    for edit in (no_dilation, no_scale, overflowing, huge, negative, unknown_type):
        write_tfjs(tmp_path, random_weights(SMALL), dtype="uint8")
        change(tmp_path, edit)
        with pytest.raises(ModelError):
            read_tfjs(tmp_path)


@pytest.mark.parametrize("stride", ["8", "-1"])
def test_a_graph_with_strides_of_no_mobilenet_is_refused(tmp_path, stride):
    def edit(model):
        attributes = model["modelTopology"]["node"][1]["attr"]
        attributes["strides"]["list"]["i"] = ["1", stride, stride, "1"]

    write_tfjs(tmp_path, random_weights(SMALL))
    change(tmp_path, edit)
    with pytest.raises(ModelError, match=rf"every layer must stride by 1 or 2, got \(2, {stride}, 2, "):
        read_tfjs(tmp_path)


def test_a_shard_that_is_named_again_and_again_is_refused(tmp_path):
    write_tfjs(tmp_path, random_weights(SMALL))
    change(tmp_path, lambda model: model["weightsManifest"][0].update(paths=["group1-shard1of5.bin"] * 1000))
    with pytest.raises(ModelError, match="shards: must be named once each"):
        read_tfjs(tmp_path)


def test_a_shard_that_is_a_pipe_is_not_waited_for(tmp_path):
    write_tfjs(tmp_path, random_weights(SMALL))
    shard = next(tmp_path.glob("*.bin"))
    shard.unlink()
    os.mkfifo(shard)
    with pytest.raises(ModelError, match=r"must be beside it \(no file, but a pipe or device\)"):
        read_tfjs(tmp_path)


def test_names_in_the_json_do_not_write_over_the_terminal(tmp_path):
    def edit(model):
        model["weightsManifest"][0]["weights"][0].update(name="a\x1b[2Jb", shape=[0])

    write_tfjs(tmp_path, random_weights(SMALL))
    change(tmp_path, edit)
    with pytest.raises(ModelError) as caught:
        read_tfjs(tmp_path)
    assert "a[2Jb: sides must be" in str(caught.value)


def test_a_shard_outside_the_folder_is_not_read(tmp_path):
    write_tfjs(tmp_path, random_weights(SMALL))
    change(tmp_path, lambda model: model["weightsManifest"][0].update(paths=["../secret.bin"]))
    with pytest.raises(ModelError, match=r"shard '../secret.bin': must be a file's name"):
        read_tfjs(tmp_path)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"must hold a model-stride\*.json, got none"):
        read_tfjs(tmp_path)
    with pytest.raises(ModelError, match="got no folder"):
        read_tfjs(tmp_path / "missing")


def test_googles_published_weights_are_read(shared: Path):
    _, quantised_075 = read_tfjs(shared / "models" / "tfjs-quant2-075-stride16")
    assert quantised_075 == mobilenet_v1(0.75, native_stride=16)
    _, float_100 = read_tfjs(shared / "models" / "tfjs-float-100-stride16")
    assert float_100 == mobilenet_v1(1.0)
