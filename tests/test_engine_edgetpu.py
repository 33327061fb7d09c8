"""The Edge TPU engine through the real delegate path, on the stand-in for libedgetpu."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from posed.config import DecodeConfig
from posed.engine.compatibility import Delegate
from posed.engine.edgetpu import open_edgetpu
from posed.engine.tflite import TfliteEngine, find_runtime, open_cpu
from posed.errors import EngineError, EngineLost
from posed.frame import Letterbox
from posed.model.tflite import Model, parse_model, read_model
from posed.networks.pair import load_pair
from posed.networks.posenet import Heads, PoseNet
from scripts.standins.edgetpu import Behaviour, write_heads, write_outputs
from tests.make_movenet import MULTI, make_movenet
from tests.make_tflite import CORAL, make_tflite
from tests.standin import built

BLACK = np.zeros((49, 65, 3), np.uint8)

Behave = Callable[[Behaviour], None]


@pytest.fixture(scope="module")
def model() -> Model:
    return parse_model(make_tflite(edgetpu=True), Path("pose_edgetpu.tflite"))


def test_a_model_of_any_size_is_for_cpus(tmp_path: Path) -> None:
    model = parse_model(make_movenet(MULTI, size=None), tmp_path / "net.tflite").resized((64, 64))
    with pytest.raises(EngineError) as caught:
        open_edgetpu(model, Delegate(device="", cache=tmp_path), "a test")
    assert str(caught.value) == (
        f"{tmp_path}/net.tflite: must be compiled for the Edge TPU, got a model whose input may have any "
        "size, which runs on CPUs alone; set engine.kind: cpu"
    )


@pytest.fixture
def untried(tmp_path: Path) -> Delegate:
    """The stand-in, of which nothing is known yet."""
    return Delegate(device="", cache=tmp_path / "cache", library=str(built().path), timeout_s=60)


@pytest.fixture(scope="module")
def fitting_cache(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that knows that the stand-in fits."""
    cache = tmp_path_factory.mktemp("cache")
    with opened(model, Delegate(device="", cache=cache, library=str(built().path))):
        return cache


@pytest.fixture
def delegate(untried: Delegate, fitting_cache: Path) -> Delegate:
    """The stand-in, known to fit."""
    return replace(untried, cache=fitting_cache)


@pytest.fixture
def behave(monkeypatch: pytest.MonkeyPatch) -> Behave:
    def behave(behaviour: Behaviour) -> None:
        for name, value in behaviour.environment().items():
            monkeypatch.setenv(name, value)

    return behave


@pytest.fixture
def log(behave: Behave, tmp_path: Path) -> Path:
    """What the stand-in was asked to do."""
    path = tmp_path / "log"
    behave(Behaviour(log=path))
    return path


@pytest.fixture
def device(tmp_path: Path) -> Path:
    """A device that is plugged in, long since."""
    path = tmp_path / "device"
    plug_in(path)
    return path


def plug_in(device: Path) -> None:
    device.touch()
    os.utime(device, (0, 0))


def opened(model: Model, delegate: Delegate) -> TfliteEngine:
    return open_edgetpu(model, delegate, why="a test")


def counted(log: Path, what: str) -> int:
    return sum(line.split()[0] == what for line in log.read_text().splitlines())


def random_heads(seed: int) -> Heads:
    plain = PoseNet.of(parse_model(make_tflite(), Path("pose.tflite")))
    with open_cpu(plain.model, 1, "a test") as engine:
        heads = plain.heads(engine.infer(BLACK))
    random = np.random.default_rng(seed)
    return replace(
        heads,
        **{
            name: replace(
                getattr(heads, name), data=random.integers(0, 256, getattr(heads, name).data.shape, np.uint8)
            )
            for name in ("heatmaps", "short_offsets", "mid_offsets")
        },
    )


def check_same(heads: Heads, expected: Heads) -> None:
    for name in ("heatmaps", "short_offsets", "mid_offsets"):
        got, wanted = getattr(heads, name), getattr(expected, name)
        np.testing.assert_array_equal(got.data, wanted.data)
        assert (got.scale, got.zero_point) == (wanted.scale, wanted.zero_point)
    assert heads.stride == expected.stride


@pytest.mark.parametrize("size", ["353_481", "481_641"])
def test_published_compiled_models_give_the_heads_of_the_plain_ones(
    size: str, shared: Path, delegate: Delegate, behave: Behave, tmp_path: Path
) -> None:
    stem = f"models/posenet_mobilenet_v1_075_{size}_16_quant_decoder"
    paths = (shared / f"{stem}{suffix}.tflite" for suffix in ("", "_edgetpu"))
    plain, compiled = (PoseNet.of(read_model(path)) for path in paths)
    image = cv2.cvtColor(cv2.imread(str(shared / "testdata/couple_640x480.bmp")), cv2.COLOR_BGR2RGB)
    picture = np.asarray(cv2.resize(image, plain.model.size), np.uint8)
    with open_cpu(plain.model, 2, "a test") as engine:
        expected = plain.heads(engine.infer(picture))
    behave(Behaviour(heads=write_heads(tmp_path / "heads", expected)))
    with opened(compiled.model, delegate) as engine:
        check_same(compiled.heads(engine.infer(picture)), expected)


MOVENETS_CHIP = (262, 277, 278, 282, 285)
"""The tensors of the plain MoveNet Lightning that the chip gives in the compiled one, in its order."""


@pytest.mark.shared
def test_the_compiled_movenet_gives_the_pose_of_the_plain_one(
    shared: Path, delegate: Delegate, behave: Behave, tmp_path: Path
) -> None:
    pair = load_pair(str(shared / "other_models/movenet/movenet_single_pose_lightning_ptq.tflite"))
    assert pair.cpu is not None
    assert pair.edgetpu is not None
    image = cv2.cvtColor(cv2.imread(str(shared / "testdata/squat.bmp")), cv2.COLOR_BGR2RGB)
    view = Letterbox((image.shape[1], image.shape[0]), pair.model.size)
    picture = view.apply(image)
    runtime = find_runtime().module
    plain = runtime.Interpreter(
        model_content=pair.cpu.content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=runtime.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    plain.allocate_tensors()
    plain.set_tensor(pair.cpu.input.index, picture[np.newaxis])
    plain.invoke()
    [expected] = plain.get_tensor(pair.cpu.outputs[0].index)
    behave(Behaviour(heads=write_outputs(tmp_path / "heads", [plain.get_tensor(at) for at in MOVENETS_CHIP])))
    with opened(pair.edgetpu, delegate) as engine:
        [output] = engine.infer(picture)
    np.testing.assert_allclose(output.data, expected, atol=1e-6)
    [pose] = pair.network.poses((output,), view, DecodeConfig())
    assert pose.score > 0.5


def test_records_of_heads_are_played_in_turn(
    model: Model, delegate: Delegate, behave: Behave, tmp_path: Path
) -> None:
    records = [random_heads(seed) for seed in range(2)]
    behave(Behaviour(heads=write_heads(tmp_path / "heads", *records)))
    with opened(model, delegate) as engine:
        for expected in [*records, records[0]]:
            check_same(PoseNet.of(model).heads(engine.infer(BLACK)), expected)


def test_an_engine_says_what_it_is(model: Model, delegate: Delegate) -> None:
    with opened(model, replace(delegate, device="usb:1")) as engine:
        assert (engine.kind, engine.device, engine.why) == ("edgetpu", "usb:1", "a test")


@pytest.mark.parametrize(("device", "line"), [("", "create"), ("usb:1", "create device=usb:1")])
def test_the_device_that_was_asked_for_reaches_the_delegate(
    device: str, line: str, model: Model, delegate: Delegate, log: Path
) -> None:
    with opened(model, replace(delegate, device=device)) as engine:
        assert engine.device == (device or "any")
    assert log.read_text().splitlines() == [line, "destroy"]


def test_a_missing_library_says_what_to_install(model: Model, untried: Delegate) -> None:
    with pytest.raises(EngineError) as caught:
        opened(model, replace(untried, library="libnone.so.1"))
    assert not isinstance(caught.value, EngineLost)
    assert str(caught.value) == (
        "no Edge TPU: libnone.so.1 is not installed (libnone.so.1: cannot open shared object file: "
        "No such file or directory); install feranick's libedgetpu1-std"
    )


def test_a_library_that_is_no_delegate_is_an_error(model: Model, untried: Delegate) -> None:
    with pytest.raises(EngineError) as caught:
        opened(model, replace(untried, library="libm.so.6"))
    assert not isinstance(caught.value, EngineLost)
    assert str(caught.value) == (
        "no Edge TPU: libm.so.6 must be a libedgetpu, got a library without tflite_plugin_create_delegate"
    )


@pytest.mark.parametrize("known", ["untried", "delegate"])
def test_no_device_is_worth_waiting_for_and_not_remembered(
    known: str, model: Model, request: pytest.FixtureRequest, behave: Behave, tmp_path: Path
) -> None:
    delegate: Delegate = request.getfixturevalue(known)
    before = list(delegate.cache.glob("*"))
    behave(Behaviour(device=tmp_path / "unplugged"))
    with pytest.raises(EngineLost, match=r"^no Edge TPU answered \(device: usb\); is it plugged in"):
        opened(model, replace(delegate, device="usb"))
    assert list(delegate.cache.glob("*")) == before


def test_a_plain_model_is_refused_with_the_compiled_ones_name(untried: Delegate) -> None:
    plain = parse_model(make_tflite(), Path("pose.tflite"))
    with pytest.raises(EngineError) as caught:
        opened(plain, untried)
    assert str(caught.value) == (
        "pose.tflite: must be compiled for the Edge TPU, got a plain model; "
        "such files are named like pose_edgetpu.tflite"
    )


def test_a_plain_model_is_refused_with_its_compiled_sibling(untried: Delegate, tmp_path: Path) -> None:
    (tmp_path / "pose_edgetpu.tflite").touch()
    with pytest.raises(EngineError, match=r"pose_edgetpu\.tflite beside it is$"):
        opened(parse_model(make_tflite(), tmp_path / "pose.tflite"), untried)


def test_a_device_that_goes_away_can_be_opened_again_later(
    model: Model, delegate: Delegate, behave: Behave, device: Path
) -> None:
    behave(Behaviour(device=device))
    with opened(model, delegate) as engine:
        engine.infer(BLACK)
        device.unlink()
        with pytest.raises(
            EngineLost, match=r"^edgetpu any: failed to run the model \(stand-in: the device is gone"
        ):
            engine.infer(BLACK)
    with pytest.raises(EngineLost, match="no Edge TPU answered"):
        opened(model, delegate)
    plug_in(device)
    with opened(model, delegate) as engine:
        engine.infer(BLACK)


def test_a_failed_engine_frees_its_device_before_its_error_goes(
    model: Model, delegate: Delegate, behave: Behave, device: Path
) -> None:
    behave(Behaviour(device=device, fail_at=1))
    try:
        with opened(model, delegate) as engine:
            engine.infer(BLACK)
    except EngineLost:
        opened(model, delegate).close()  # the stand-in's device can be held only once
    else:
        pytest.fail("must fail at the first invoke")


def test_a_device_is_held_by_one_engine_at_a_time(
    model: Model, delegate: Delegate, behave: Behave, device: Path
) -> None:
    behave(Behaviour(device=device))
    with opened(model, delegate), pytest.raises(EngineLost, match="is it plugged in, free"):
        opened(model, delegate)


def test_an_invoke_that_fails_is_lost_and_stays_one_line(
    model: Model, delegate: Delegate, behave: Behave
) -> None:
    behave(Behaviour(fail_at=2))
    with opened(model, delegate) as engine:
        engine.infer(BLACK)
        for _ in range(20):  # the runtime's text grows each time
            with pytest.raises(EngineLost, match="told to fail at invoke 2") as caught:
                engine.infer(BLACK)
            assert "\n" not in str(caught.value)
            assert len(str(caught.value)) < 300


def test_heads_of_another_size_are_a_failure(
    model: Model, delegate: Delegate, behave: Behave, tmp_path: Path
) -> None:
    (tmp_path / "heads").write_bytes(bytes(7))
    behave(Behaviour(heads=tmp_path / "heads"))
    with (
        opened(model, delegate) as engine,
        pytest.raises(EngineLost, match="must hold records of 2300 bytes"),
    ):
        engine.infer(BLACK)


def test_a_pair_that_fits_is_tried_once(model: Model, untried: Delegate, log: Path) -> None:
    opened(model, untried).close()
    assert counted(log, "create") == 2  # the child, then we
    assert counted(log, "invoke") == 1
    opened(model, untried).close()
    assert counted(log, "create") == 3


@pytest.mark.parametrize("place", ["create", "invoke"])
def test_a_pair_that_crashes_is_named_and_remembered(
    place: str, model: Model, untried: Delegate, behave: Behave, log: Path
) -> None:
    behave(Behaviour(crash=place))
    lines = []
    for _ in range(2):
        with pytest.raises(EngineError) as caught:
            opened(model, untried)
        assert not isinstance(caught.value, EngineLost)
        lines.append(str(caught.value))
    (record,) = untried.cache.iterdir()
    assert lines[0] == lines[1]
    assert lines[0].endswith(
        "and libedgetpu stand-in do not fit together, got SIGSEGV; install ai-edge-litert with feranick's "
        f"libedgetpu 16.0TF2.17.1 or later; delete {record} to try again"
    )
    assert counted(log, "create") == 1


def test_a_pair_that_crashed_is_tried_again_without_its_record(
    model: Model, untried: Delegate, behave: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(Behaviour(crash="create"))
    with pytest.raises(EngineError, match="do not fit"):
        opened(model, untried)
    (record,) = untried.cache.iterdir()
    record.unlink()
    monkeypatch.delenv("STANDIN_CRASH")
    opened(model, untried).close()


def test_a_crash_with_one_model_does_not_speak_for_another(
    model: Model, untried: Delegate, behave: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    behave(Behaviour(crash="invoke"))
    with pytest.raises(EngineError, match="do not fit"):
        opened(model, untried)
    monkeypatch.delenv("STANDIN_CRASH")
    other = parse_model(make_tflite(CORAL, size=(97, 65), edgetpu=True), Path("other_edgetpu.tflite"))
    opened(other, untried).close()


def test_another_library_is_tried_anew(model: Model, delegate: Delegate, log: Path, tmp_path: Path) -> None:
    upgraded = tmp_path / "libedgetpu.so.1"
    upgraded.write_bytes(built().path.read_bytes())
    opened(model, replace(delegate, library=str(upgraded))).close()
    assert counted(log, "invoke") == 1


def test_another_runtime_is_tried_anew(
    model: Model,
    delegate: Delegate,
    log: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package = tmp_path / "tflite_runtime-99.0.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: tflite-runtime\nVersion: 99.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    opened(model, delegate).close()
    assert counted(log, "invoke") == 1


def test_a_device_that_hangs_is_given_up_and_not_remembered(
    model: Model, untried: Delegate, behave: Behave
) -> None:
    behave(Behaviour(hang_at=1))
    with pytest.raises(EngineLost, match=r"^edgetpu any: must run the model within 2 s, got no answer; plug"):
        opened(model, replace(untried, timeout_s=2))
    assert not untried.cache.exists()


@pytest.mark.parametrize("damage", ["{", '{"crash": ""}'])
def test_a_damaged_result_is_as_none(damage: str, model: Model, untried: Delegate, log: Path) -> None:
    opened(model, untried).close()
    tries = counted(log, "invoke")
    [file] = untried.cache.iterdir()
    file.write_text(damage)
    opened(model, untried).close()
    assert counted(log, "invoke") == 2 * tries == 2
    assert json.loads(file.read_text())["pair"]["library"] == untried.library


def test_a_cache_that_cannot_be_written_costs_only_another_try(
    model: Model, untried: Delegate, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    opened(model, replace(untried, cache=tmp_path / "file" / "cache")).close()
    assert "the Edge TPU is tried again at the next start" in caplog.text


def test_a_device_that_the_child_reset_is_waited_for(
    model: Model, untried: Delegate, behave: Behave, device: Path
) -> None:
    behave(Behaviour(device=device, reset_ms=600))
    with opened(model, untried) as engine:
        engine.infer(BLACK)


IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
import numpy as np
from posed.engine.edgetpu import open_edgetpu
from posed.engine.compatibility import Delegate
from posed.model.tflite import read_model
with open_edgetpu(read_model(Path(sys.argv[1])), Delegate("usb", Path(sys.argv[2])), "") as engine:
    engine.infer(np.zeros((49, 65, 3), np.uint8))
"""

CORALS = """
import posed.engine.tflite
runtime = posed.engine.tflite.find_runtime().module
def make_interpreter(content, device=None):
    print("pycoral", device)
    delegate = runtime.load_delegate("libedgetpu.so.1", {"device": device})
    return runtime.Interpreter(model_content=content, experimental_delegates=[delegate])
"""


@pytest.mark.parametrize(("pycoral", "said"), [(CORALS, "pycoral usb\n"), ("", ""), (None, "")])
def test_the_installed_library_is_used_and_pycoral_where_it_is(
    pycoral: str | None, said: str, fitting_cache: Path, tmp_path: Path
) -> None:
    (tmp_path / "model.tflite").write_bytes(make_tflite(edgetpu=True))
    package = tmp_path / "packages/pycoral"  # the one of that name on PyPI has no utils.edgetpu
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    if pycoral is not None:
        (package / "utils").mkdir()
        (package / "utils/__init__.py").touch()
        (package / "utils/edgetpu.py").write_text(pycoral)
    environment = built().environment(Behaviour(log=tmp_path / "log"))
    path = os.pathsep.join([str(package.parent), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", IN_ANOTHER_PROCESS, tmp_path / "model.tflite", fitting_cache],
        env=os.environ | environment | {"PYTHONPATH": path},
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout) == (0, said), done.stderr
    assert (tmp_path / "log").read_text().splitlines() == ["create device=usb", "invoke", "destroy"]


def test_a_child_that_cannot_run_at_all_says_why(
    model: Model, untried: Delegate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "posed").mkdir()
    (tmp_path / "posed/__init__.py").write_text("raise ImportError('half upgraded')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineLost, match=r"ended with status 1 \(.*half upgraded"):
        opened(model, untried)
