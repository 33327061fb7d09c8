"""Sight: what a live camera sees, told from pictures and time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from posed.camera.health import DARK_LUMA, FROZEN_S, HOLD_S, LIGHT_LUMA, CameraHealthDetector
from posed.camera.images import read_image
from posed.frame import Image, Letterbox

SIZE = (481, 353)
NOISE = np.random.default_rng(2)


def noisy(picture: NDArray[np.floating], sigma: float) -> Image:
    return np.clip(picture + NOISE.normal(0, sigma, picture.shape), 0, 255).astype(np.uint8)


def scaled(image: Image) -> Image:
    """As the pipeline gives it: at the model's size, without bars."""
    letterbox = Letterbox((image.shape[1], image.shape[0]), SIZE)
    return letterbox.inside(letterbox.apply(image))


def plain(level: float) -> NDArray[np.floating]:
    return np.full((SIZE[1], SIZE[0], 3), level)


def finger(level: float) -> NDArray[np.floating]:
    """Light through a finger: reddish, brighter to one corner, without an edge."""
    rows, columns = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    gradient = level * (1 + 0.5 * (columns / SIZE[0] - 0.5) + 0.3 * (rows / SIZE[1] - 0.5))
    return gradient[..., None] * np.array([1, 0.35, 0.25])


def wall_with(person: Image) -> NDArray[np.floating]:
    """A bright bare wall, lit from one side, and a person 70 px high before it."""
    wall = plain(1.0) * np.linspace(200, 180, SIZE[0])[:, None]
    wall[200:270, 300:345] = cv2.resize(person, (45, 70), interpolation=cv2.INTER_AREA)
    return wall


def view_after_16_s(picture: NDArray[np.floating], sigma: float = 3) -> str:
    sight = CameraHealthDetector()
    views = [sight.update(noisy(picture, sigma), time_s) for time_s in range(0, 17, 2)]
    return views[-1]


@pytest.mark.parametrize("name", ["couple_640x480.bmp", "squat.bmp"])
@pytest.mark.parametrize("light", [1.0, 0.15])
def test_a_room_with_people_is_ok_in_any_light(shared: Path, name: str, light: float) -> None:
    room = scaled(read_image(shared / "testdata" / name))
    assert view_after_16_s(room * light) == "ok"


def test_the_frames_of_a_real_video_are_ok(shared: Path) -> None:
    capture = cv2.VideoCapture(str(shared / "testdata" / "walkers_768x576.mp4"))
    sight = CameraHealthDetector()
    views = {sight.update(scaled(capture.read()[1][..., ::-1].copy()), n / 10) for n in range(50)}
    assert views == {"ok"}


def test_a_person_before_a_white_wall_is_ok(shared: Path) -> None:
    person = read_image(shared / "testdata" / "squat.bmp")[:, 160:480]
    assert view_after_16_s(wall_with(person)) == "ok"


@pytest.mark.parametrize("sigma", [0.5, 3, 8, 15])
def test_black_with_the_noise_of_a_sensor_is_dark(sigma: float) -> None:
    assert view_after_16_s(plain(2), sigma) == "dark"


def test_black_without_noise_is_dark_rather_than_frozen() -> None:
    assert view_after_16_s(plain(0), 0) == "dark"


@pytest.mark.parametrize("name", ["couple_640x480.bmp", "squat.bmp"])
def test_a_room_too_dark_for_its_poses_is_dark(shared: Path, name: str) -> None:
    room = scaled(read_image(shared / "testdata" / name))
    assert view_after_16_s(room * 0.1) == "dark"


def test_a_status_light_in_the_dark_is_dark() -> None:
    night = plain(2)
    night[40:60, 40:60] = 250
    assert view_after_16_s(night) == "dark"


def test_a_television_in_the_dark_is_dark(shared: Path) -> None:
    room = scaled(read_image(shared / "testdata" / "squat.bmp")) * 0.08
    room[60:200, 40:240] = 200
    assert view_after_16_s(room) == "dark"


def test_the_night_picture_of_an_infrared_camera_is_ok(shared: Path) -> None:
    """Grey, lit from the camera, and black towards the corners."""
    room = scaled(read_image(shared / "testdata" / "couple_640x480.bmp")).mean(axis=2, keepdims=True)
    rows, columns = np.mgrid[-1 : 1 : room.shape[0] * 1j, -1 : 1 : room.shape[1] * 1j]
    lamp = np.exp(-1.5 * (rows**2 + columns**2))[..., None]
    assert view_after_16_s(np.repeat(room * lamp, 3, axis=2), 8) == "ok"


def test_a_frame_is_dark_at_once() -> None:
    sight = CameraHealthDetector()
    sight.update(checkers(), 0)
    assert not sight.dark
    sight.update(noisy(plain(2), 3), 0.2)
    assert sight.dark


@pytest.mark.parametrize("before", [5, 200])
def test_dusk_changes_nothing_between_its_two_limits(before: float) -> None:
    sight = CameraHealthDetector()
    sight.update(noisy(plain(before), 1), 0)
    sight.update(noisy(plain((DARK_LUMA + LIGHT_LUMA) / 2), 1), 0.2)
    assert sight.dark == (before < DARK_LUMA)


@pytest.mark.parametrize("level", [60, 120, 220])
@pytest.mark.parametrize("sigma", [1, 6, 12])
def test_a_finger_over_the_lens_is_covered(level: float, sigma: float) -> None:
    assert view_after_16_s(finger(level), sigma) == "covered"


def test_a_picture_blurred_to_nothing_is_covered(shared: Path) -> None:
    room = scaled(read_image(shared / "testdata" / "couple_640x480.bmp"))
    assert view_after_16_s(cv2.GaussianBlur(room, (0, 0), 60).astype(float)) == "covered"


def test_the_same_frame_again_and_again_is_frozen(shared: Path) -> None:
    room = scaled(read_image(shared / "testdata" / "squat.bmp"))
    assert view_after_16_s(room.astype(float), 0) == "frozen"


def test_one_changed_pixel_of_noise_ends_a_freeze() -> None:
    frame = checkers()
    changed = frame.copy()
    changed[101, 203] += 40
    sight = CameraHealthDetector()
    sight.update(frame, 0)
    assert sight.update(frame, FROZEN_S) == "frozen"
    assert sight.update(changed, FROZEN_S + 0.1) == "ok"


def test_dark_counts_only_after_it_lasted() -> None:
    sight = CameraHealthDetector()
    views = [sight.update(noisy(plain(2), 3), time_s) for time_s in (5, 5 + HOLD_S - 0.1, 5 + HOLD_S)]
    assert views == ["ok", "ok", "dark"]


def test_going_from_dark_to_covered_does_not_wait_again() -> None:
    sight = CameraHealthDetector()
    sight.update(noisy(plain(2), 3), 0)
    assert sight.update(noisy(finger(120), 3), HOLD_S) == "covered"


def test_the_first_good_frame_is_ok_at_once() -> None:
    sight = CameraHealthDetector()
    for time_s in (0, HOLD_S):
        sight.update(noisy(plain(2), 3), time_s)
    assert sight.update(checkers(), HOLD_S + 0.03) == "ok"


def test_a_good_frame_in_between_starts_the_wait_again() -> None:
    sight = CameraHealthDetector()
    sight.update(noisy(plain(2), 3), 0)
    sight.update(checkers(), HOLD_S / 2)
    assert sight.update(noisy(plain(2), 3), HOLD_S + 0.1) == "ok"


def test_a_frozen_picture_counts_only_after_it_lasted() -> None:
    sight = CameraHealthDetector()
    views = [sight.update(checkers(), time_s) for time_s in (7, 7 + FROZEN_S - 0.1, 7 + FROZEN_S)]
    assert views == ["ok", "ok", "frozen"]


@pytest.mark.parametrize("size", [(1, 1), (1, 353), (481, 2), (640, 480)])
def test_every_size_of_picture_can_be_judged(size: tuple[int, int]) -> None:
    assert CameraHealthDetector().update(np.zeros((size[1], size[0], 3), np.uint8), 0) == "ok"


def checkers() -> Image:
    rows, columns = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    squares = (rows // 60 + columns // 60) % 2 * 120 + 60
    return np.repeat(squares[..., None], 3, axis=2).astype(np.uint8)
