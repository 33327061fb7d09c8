"""The AI Camera, on a picamera2 of our own whose sensor runs Coral's PoseNet."""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from posed.camera.base import SettingError
from posed.camera.imx500 import VALUES, Imx500Camera, find, heads_of, start_sensor
from posed.camera.imx500_view import INPUT, REGION, SENSOR
from posed.camera.pi_device import StartedDevice
from posed.config import CameraConfig, DecodeConfig
from posed.errors import CameraError, CameraLost
from posed.frame import Frame
from posed.networks.pair import load_pair
from posed.pipeline.capture import Capture
from posed.pipeline.detection import infer, poses_of
from posed.pipeline.frame_preparer import FramePreparer
from posed.pipeline.frame_source import FrameSource
from posed.pipeline.idle_gate import IdleGate
from posed.pipeline.slots import Slots
from posed.pipeline.stage_timings import StageTimings
from posed.pose import MIRRORED, Pose
from tests import ai_camera_standin
from tests.ai_camera_standin import MODEL, Worlds, installed, part_of, run_of


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Worlds]:
    """Makes what an AI Camera sees; its network is in it already."""
    with installed(tmp_path, monkeypatch) as worlds:
        worlds.loaded.touch()
        yield worlds


def opened(**settings: Any) -> Imx500Camera:
    """A camera whose network is in it."""
    config = CameraConfig(kind="imx500", **settings)
    sensor, started = start_sensor(*find(config.source), config)
    return Imx500Camera(started, sensor, config)


def frame_of(camera: Imx500Camera) -> Frame:
    frame = camera.read(5)
    assert frame is not None
    return frame


def one_line(error: pytest.ExceptionInfo[CameraError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


# What comes with a frame


def test_a_frame_brings_heads_and_how_long_they_took(world: Worlds) -> None:
    with opened() as camera:
        frame = frame_of(camera)
    assert frame.inference is not None
    assert [head.shape for head in frame.inference.heads] == [(23, 31, 17), (23, 31, 34), (23, 31, 64)]
    assert {str(head.dtype) for head in frame.inference.heads} == {"float32"}
    assert (frame.inference.stride, frame.inference.took_s) == (16, 0.015)
    assert frame.image.shape == (362, 482, 3)


def test_heads_lie_channel_by_channel_and_column_by_column() -> None:
    wanted = [np.random.default_rng(0).normal(size=(23, 31, n)).astype(np.float32) for n in (17, 34, 64)]
    run = run_of(wanted)
    assert run[1] == wanted[0][1, 0, 0], "after the first row of a column comes its second"
    for given, head in zip(heads_of(run), wanted, strict=True):
        np.testing.assert_array_equal(given, head)


def test_frames_are_counted_and_timed(world: Worlds) -> None:
    with opened() as camera:
        frames = [frame_of(camera) for _ in range(5)]
    assert [frame.sequence for frame in frames] == list(range(5))
    assert np.all(np.diff([frame.captured_at for frame in frames]) > 0)
    assert 0 <= time.monotonic() - frames[-1].captured_at < 5


class Script:
    """Completed requests of a device: of each, when it was captured, and what its network says with it."""

    def __init__(self, *steps: tuple[float, Any] | None, **metadata: Any) -> None:
        self._steps = iter(steps)
        self._metadata = metadata
        self.job = None

    def next(self, wait_s: float) -> tuple[Any, dict[str, Any]] | None:
        step = next(self._steps, None)
        if step is None:
            return None
        metadata = self._metadata | {"FrameDuration": 50_000, "at": step[0]}
        request = SimpleNamespace(
            make_array=lambda _: np.full((48, 64, 3), round(100 * step[0]), np.uint8), release=lambda: None
        )
        return request, metadata | ({} if step[1] is None else {"CnnOutputTensor": step[1]})

    @staticmethod
    def captured_at(metadata: dict[str, Any]) -> float:
        return float(metadata["at"])


SAYS = (0.0,) * VALUES
NOTHING = None


def scripted(
    *steps: tuple[float, Any] | None,
    clock: Callable[[], float] = lambda: 0.0,
    crop: tuple[int, ...] = (0, 0, *SENSOR),
    kpi: Any = (15_000, 12_000),
) -> Imx500Camera:
    """A camera whose requests are these."""
    metadata = {"ScalerCrop": crop, "CnnKpiInfo": kpi}
    stream = {"format": "BGR888", "size": (64, 48)}
    started = StartedDevice("Pi camera 0", None, 0, stream, (False, False), Script(*steps, **metadata))  # type: ignore[arg-type]
    sensor = SimpleNamespace(config={}, get_output_shapes=lambda _: [])
    return Imx500Camera(started, sensor, CameraConfig(kind="imx500"), clock=clock)


def picture_of(frame: Frame | None) -> tuple[float, int] | None:
    """When the picture was captured, by its metadata and by what it shows."""
    return None if frame is None else (frame.captured_at, int(frame.image[0, 0, 0]))


def test_what_the_network_says_late_goes_with_the_picture_before() -> None:
    camera = scripted((0.1, NOTHING), (0.15, SAYS), (0.2, NOTHING), (0.25, SAYS))
    assert [picture_of(camera.read(1)) for _ in range(3)] == [(0.1, 10), (0.2, 20), None]


def test_what_the_network_says_at_once_goes_with_its_picture() -> None:
    camera = scripted((0.1, SAYS), (0.15, SAYS), (0.2, NOTHING))
    assert [picture_of(camera.read(1)) for _ in range(3)] == [(0.1, 10), (0.15, 15), None]


def test_what_comes_after_a_gap_is_of_its_own_picture() -> None:
    camera = scripted((0.1, NOTHING), (0.2, SAYS))
    assert picture_of(camera.read(1)) == (0.2, 20)


@pytest.mark.parametrize("last", [(0.2, NOTHING), None])
def test_a_network_that_says_nothing_any_more_is_lost(last: tuple[float, object] | None) -> None:
    now_s = [0.0]
    camera = scripted((0.1, NOTHING), None, last, clock=lambda: now_s[0])
    now_s[0] = 4
    assert camera.read(1) is None
    now_s[0] = 6
    with pytest.raises(CameraLost) as error:
        camera.read(1)
    assert one_line(error) == (
        "Pi camera 0: must give what its network says within 5 s, got pictures without it"
    )


def test_a_camera_without_pictures_is_not_a_silent_one() -> None:
    now_s = [0.1]
    camera = scripted((0.1, NOTHING), None, None, clock=lambda: now_s[0])
    assert camera.read(1) is None
    now_s[0] = 6
    assert camera.read(1) is None


def test_another_number_of_values_is_an_error() -> None:
    with pytest.raises(CameraError) as error:
        scripted((0.1, SAYS[1:])).read(1)
    assert not isinstance(error.value, CameraLost)
    assert "must give 81995 values" in one_line(error)
    assert one_line(error).endswith("got 81994")


@pytest.mark.parametrize(
    ("kpi", "took_s"),
    [
        ((15_000, 12_000), (0.015, 0.012)),
        ([15_000.0, 0], (0.015, 0)),
        ((), (0, 0)),
        ((15_000,), (0, 0)),
        ((1, 2, 3), (0, 0)),
        (("a", "b"), (0, 0)),
        ("ab", (0, 0)),
        ("12", (0, 0)),
        (15_000, (0, 0)),
        ((float("nan"), 12_000), (0, 0)),
        ((-5, 12_000), (0, 0)),
        (None, (0, 0)),
    ],
)
def test_how_long_it_took_may_not_be_told(kpi: Any, took_s: tuple[float, float]) -> None:
    frame = scripted((0.1, SAYS), kpi=kpi).read(1)
    assert frame is not None
    assert frame.inference is not None
    assert (frame.inference.took_s, frame.inference.prepared_s) == took_s


def test_a_picture_of_nothing_is_a_lost_camera() -> None:
    camera = scripted((0.1, SAYS), crop=(0, 0, 0, 0))
    with pytest.raises(CameraLost, match=r"must show some of the sensor, got a ScalerCrop of \(0, 0\)$"):
        camera.read(1)


# Where somebody is


def coordinates() -> np.ndarray:
    """A picture that fills the sensor, and whose pixels say where on it they are, y first."""
    rows, columns = np.indices((760, 1014), np.float32)
    scale = SENSOR[1] / 760, SENSOR[0] / 1014
    return np.dstack([(rows + 0.5) * scale[0] - 0.5, (columns + 0.5) * scale[1] - 0.5]).astype(np.float32)


def places(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Where on the sensor points (n, 2) of such a picture are, beyond its edges, too: as its pixels say."""
    indices = np.indices(picture.shape[:2]).reshape(2, -1).T
    ones = np.ones((len(indices), 1))
    way, *_ = np.linalg.lstsq(np.hstack([indices, ones]), picture.reshape(-1, 2), rcond=None)
    return np.asarray(np.hstack([points, np.ones((len(points), 1))]) @ way)


def decoded(frame: Frame, *, mirror: bool) -> list[Pose]:
    """Everybody in a frame, by the pipeline's own way."""
    source, captured, inferred = FrameSource("hall"), Slots[Any, Any](), Slots[Any, Any]()
    capture = Capture(
        lambda: pytest.fail("opens no camera"),
        source=source,
        captured=captured,
        inferred=inferred,
        preparer=FramePreparer(INPUT),
        idle_gate=IdleGate(0),
        timeout_s=5,
        hang_s=20,
    )
    assert frame.inference is not None
    given = capture._inferred_of(frame, frame.inference, StageTimings(), live=True)
    return poses_of(given, load_pair("drawings-257x353-16").network, DecodeConfig(), mirror=mirror)


class Region:
    """The CPU engine on the network's region of a picture that fills the sensor."""

    def __init__(self, shared: Path) -> None:
        self.picture = shared / "testdata/couple_640x480.bmp"
        self.model = shared / "models" / MODEL
        self._engine = ai_camera_standin.Sensor(self.model)
        self._network = load_pair(str(self.model)).network

    def poses(self, seen: np.ndarray) -> list[Pose]:
        """In px of the network's input."""
        network_input = part_of(seen, REGION, INPUT)
        frame = Frame(network_input, 0, 0.0, 0.0, 0.0)
        return poses_of(infer(frame, self._engine.engine, INPUT), self._network, DecodeConfig())


WAYS = [
    ({"fps": 30}, None),
    ({"size": (1280, 720), "fps": 10}, None),
    ({"size": (640, 480), "fps": 50}, (400, 300, 3000, 2250)),
    ({"fps": 30}, (1014, 760, 2028, 1520)),
]
"""Streams for which the sensor is read in its different modes, and what their pictures show of it."""


@pytest.mark.parametrize("turned", list(itertools.product((0, 90, 180, 270), (False, True))))
@pytest.mark.parametrize("way", WAYS)
def test_people_are_where_the_cpu_engine_sees_them(
    world: Worlds, shared: Path, tmp_path: Path, way: tuple[Any, ...], turned: tuple[int, bool]
) -> None:
    (stream, crop), (rotate, mirror) = way, turned
    region = Region(shared)
    seen = cv2.cvtColor(cv2.imread(str(region.picture)), cv2.COLOR_BGR2RGB)
    # People are upright for the network, which sees what the camera has flipped, but not what we turn.
    seen = np.rot90(seen, 2) if rotate == 180 else seen[::-1] if rotate and mirror else seen
    picture = tmp_path / "seen.png"
    cv2.imwrite(str(picture), cv2.cvtColor(np.ascontiguousarray(seen), cv2.COLOR_RGB2BGR))
    world(picture=str(picture), model=str(region.model), crop=crop)
    with opened(rotate=rotate, mirror=mirror, **stream) as camera:
        frame = frame_of(camera)
        poses = decoded(frame, mirror=mirror)
        asked = camera._started.device.wanted
    size, transform = asked["main"]["size"], asked["transform"]
    flip = np.s_[:: -1 if transform.vflip else 1, :: -1 if transform.hflip else 1]
    shows = ai_camera_standin.default_crop(size) if crop is None else crop
    where_frame = np.rot90(part_of(coordinates()[flip].copy(), shows, size)[flip], -rotate // 90)
    where_frame = where_frame[:, ::-1] if mirror else where_frame
    where_input = part_of(coordinates()[flip].copy(), REGION, INPUT)
    expected = region.poses(np.ascontiguousarray(seen[flip]))
    assert len(poses) == len(expected) == 2
    px = shows[2] / size[0]
    for pose, cpu in zip(poses, expected, strict=True):
        confused = transform.hflip != transform.vflip
        points = cpu.points[list(MIRRORED)] if confused else cpu.points
        error_px = np.abs(places(where_frame, pose.points) - places(where_input, points)).max() / px
        assert error_px < 0.1
        np.testing.assert_allclose(np.sort(pose.scores), np.sort(cpu.scores), atol=1e-6)


def test_the_network_sees_nearly_all_unstretched() -> None:
    assert REGION == (12, 40, 4032, 2960) == REGION.taken, "in the middle, and as the driver takes it"
    assert REGION.width / REGION.height == pytest.approx(INPUT[0] / INPUT[1], rel=0.001)


def test_where_a_region_is_refused_the_network_sees_all(world: Worlds) -> None:
    """As far as the driver goes, and what it says is brought back from there."""
    world(takes_region=False)
    with opened(size=(1014, 760)) as camera:
        frame = frame_of(camera)
    assert frame.inference is not None
    corners = frame.inference.view.to_source(np.array([[-0.5, -0.5], [352.5, 480.5]]))
    right = 4032 / SENSOR[0] * 1014 - 0.5
    np.testing.assert_allclose(corners, [[-0.5, -0.5], [759.5, right]], atol=1e-6)


# What is missing or wrong


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"models": ()}, CameraLost, "AI Camera: must be connected, got no camera"),
        ({"models": ("imx708",)}, CameraLost, "AI Camera: must be connected, got imx708"),
        (
            {"fails": "import"},
            SettingError,
            "kind: imx500 needs `apt install imx500-all`, got: No module named",
        ),
        (
            {"fails": "debug"},
            SettingError,
            "kind: imx500 needs picamera2 0.3.35 or later, got one that insists",
        ),
        ({"fails": "file"}, SettingError, "got no /usr/share/imx500-models/imx500_network_posenet.rpk"),
        ({"fails": "start"}, SettingError, "got no /lib/firmware/imx500_loader.fpk and no /lib/firmware/"),
    ],
)
def test_what_is_missing_is_said(
    world: Worlds, settings: dict[str, Any], kind: type[CameraError], said: str
) -> None:
    world(**settings)
    with pytest.raises(kind) as error:
        opened()
    assert type(error.value) is kind
    assert said in one_line(error)


def test_another_camera_is_no_ai_camera(world: Worlds) -> None:
    world(models=("imx708", "imx500"))
    with pytest.raises(SettingError) as error:
        opened(source="0")
    assert one_line(error) == ("source: must be an AI Camera (imx500) for kind imx500, got camera 0, imx708")


def test_the_first_ai_camera_is_taken(world: Worlds) -> None:
    world(models=("imx708", "imx500"))
    with opened() as camera:
        assert camera.name == "Pi camera 1"


def test_a_missing_picamera2_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with pytest.raises(SettingError, match="apt install python3-picamera2 imx500-all"):
        opened()


def test_another_network_is_an_error_that_names_both(world: Worlds) -> None:
    world(shapes=((144, 192, 17),))
    with opened() as camera, pytest.raises(CameraError) as error:
        camera.read(5)
    assert not isinstance(error.value, CameraLost)
    assert "23×31×17, 23×31×34, 23×31×64" in one_line(error)
    assert one_line(error).endswith("got 144×192×17")


def test_nothing_is_printed(world: Worlds, capfd: pytest.CaptureFixture[str]) -> None:
    with opened() as camera:
        frame_of(camera)
    assert capfd.readouterr() == ("", "")


def test_two_that_open_at_once_leave_the_terminal_alone(
    world: Worlds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that began first is done first, and would have given the other's terminal back."""
    world(models=("imx500", "imx500"))
    second_is_in, first_is_done = threading.Event(), threading.Event()

    class Slow(ai_camera_standin.IMX500):
        def __init__(self, network_file: str, camera_id: str) -> None:
            super().__init__(network_file, camera_id)
            if "@1/" in camera_id:
                second_is_in.set()
                first_is_done.wait(1)
            else:
                second.start()
                second_is_in.wait(1)

    import picamera2.devices.imx500 as library

    monkeypatch.setattr(library, "IMX500", Slow)
    before, cameras = sys.stdout, []
    second = threading.Thread(target=lambda: cameras.append(opened(source="1")))
    cameras.append(opened(source="0"))
    first_is_done.set()
    second.join()
    for camera in cameras:
        camera.__exit__()
    assert len(cameras) == 2
    assert sys.stdout is before
