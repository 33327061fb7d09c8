"""What a URL gives: streams, still pictures, and why there is none."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from posed.camera.base import Camera
from posed.camera.url import public_name
from posed.camera.video import open_video
from posed.config import CameraConfig
from posed.errors import CameraLost, LoginRefused
from posed.frame import Frame
from tests.http_camera import PART, MjpegServer, jpeg, number_of, until

ESCAPES = "in a URL's user and password, write @ : / # ? % as %40 %3A %2F %23 %3F %25"
PASSWORD = "p@s:s/w?o#r%d &é"


def config(source: str, **settings: object) -> CameraConfig:
    return CameraConfig(kind="video", source=source, **{"timeout_s": 0.5, **settings})


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    camera = MjpegServer()
    yield camera
    camera.close()


def read(camera: Camera) -> Frame:
    frame = camera.read(10)
    assert frame is not None
    return frame


def read_on(camera: Camera) -> None:
    """Read until something is raised."""
    while True:
        camera.read(10)


# Still pictures


def test_the_url_of_a_still_picture_is_asked_at_fps(
    server: MjpegServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.still = jpeg(1)
    with (
        caplog.at_level(logging.INFO),
        open_video(config(server.url("/snap.jpg"), timeout_s=5, fps=10)) as camera,
    ):
        assert number_of(read(camera).image) == 1
        server.still = jpeg(2, (256, 192))
        began_at = time.monotonic()
        frames = [read(camera) for _ in range(11)]
        took_s = time.monotonic() - began_at
    assert number_of(frames[-1].image) == 2
    assert frames[-1].image.shape == (192, 256, 3)
    assert took_s > 0.9
    assert [record.getMessage() for record in caplog.records] == [
        f"camera {server.url('/snap.jpg')}: a still picture, asked for at most 10 times per second"
    ]


def test_a_still_picture_that_is_gone_is_camera_lost(server: MjpegServer) -> None:
    server.still = jpeg(1)
    with open_video(config(server.url("/snap.jpg"), timeout_s=5, fps=10)) as camera:
        read(camera)
        server.login = "user:hunter2"
        with pytest.raises(LoginRefused):
            read_on(camera)


def test_a_still_picture_without_a_length_is_asked_for_again(server: MjpegServer) -> None:
    server.still = jpeg(1)
    with open_video(config(server.url("/unsized.jpg"), timeout_s=5, fps=10)) as camera:
        read(camera)
        server.still = jpeg(2)
        until(lambda: number_of(read(camera).image) == 2)


@pytest.mark.parametrize("path", ["/snap.jpg", "/unsized.jpg"])
@pytest.mark.parametrize("broken", [b"", b"busy", jpeg(3)[:1500]], ids=["empty", "no picture", "cut"])
def test_a_still_picture_that_fails_at_times_is_retried(
    server: MjpegServer, path: str, broken: bytes
) -> None:
    server.still = jpeg(1)
    with open_video(config(server.url(path), timeout_s=5, fps=10)) as camera:
        read(camera)
        server.still = broken
        while server.served.acquire(blocking=False):
            pass
        for _ in range(3):
            assert server.served.acquire(timeout=10)
        server.still = jpeg(2)
        until(lambda: number_of(read(camera).image) == 2)


def test_a_still_picture_that_fails_for_long_is_camera_lost(server: MjpegServer) -> None:
    server.still = jpeg(1)
    with open_video(config(server.url("/snap.jpg"), timeout_s=1, fps=10)) as camera:
        read(camera)
        server.still = b""
        began_at = time.monotonic()
        with pytest.raises(CameraLost, match=r"the host answers, but gives no video|no frame within 1 s"):
            read_on(camera)
    assert time.monotonic() - began_at > 0.8


# Streams whose headers are wrong


@pytest.mark.parametrize(
    ("part", "is_standard"),
    [
        pytest.param(PART, True, id="standard"),
        pytest.param(PART.replace("--frame\r\n", ""), False, id="no boundary"),
        pytest.param(PART.replace("--", ""), False, id="boundary without dashes"),
        pytest.param(PART.replace("jpeg", "jpg"), False, id="image/jpg"),
        pytest.param(PART.replace("Content-Type: image/jpeg\r\n", ""), False, id="no type"),
        pytest.param(PART.replace("{length}", "9000"), False, id="length too large"),
        pytest.param(PART.replace("{length}", "900"), False, id="length too small"),
    ],
)
def test_a_stream_is_read_whatever_is_between_its_jpegs(
    server: MjpegServer, part: str, is_standard: bool, caplog: pytest.LogCaptureFixture
) -> None:
    server.part = part
    sender = threading.Thread(target=send_slowly, args=(server,))
    sender.start()
    with caplog.at_level(logging.INFO), open_video(config(server.url(), timeout_s=5)) as camera:
        until(lambda: number_of(read(camera).image) >= 20)
    sender.join()
    said = f"camera {server.url()}: its JPEGs have non-standard headers; reading them without"
    assert [record.getMessage() for record in caplog.records] == ([] if is_standard else [said])


def send_slowly(server: MjpegServer) -> None:
    """Send 40 pictures in two seconds."""
    for number in range(40):
        server.send(number)
        time.sleep(0.05)


def test_a_page_is_no_video(server: MjpegServer) -> None:
    server.still = b"<html><body>Please log in.</body></html>" * 100
    with pytest.raises(CameraLost) as caught:
        open_video(config(server.url("/snap.jpg"), timeout_s=5))
    assert str(caught.value) == (
        f"camera {server.url('/snap.jpg')}: cannot be opened: "
        "the host answers, but gives no video (check path, user and password)"
    )


# User and password


@pytest.mark.parametrize(("path", "user"), [("/video", "me"), ("/snap.jpg", "me@home")])
def test_user_and_password_of_the_configuration_are_escaped(
    server: MjpegServer, path: str, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.login, server.still = f"{user}:{PASSWORD}", jpeg(1)
    server.send(1)
    settings = config(server.url(path), timeout_s=5, username=user, password=SecretStr(PASSWORD))
    with caplog.at_level(logging.DEBUG), open_video(settings) as camera:
        assert number_of(read(camera).image) == 1
        assert camera.name == f"camera {server.url(path)}"
    assert "p@s" not in caplog.text
    assert "p%40s" not in caplog.text


@pytest.mark.parametrize("login", [{}, {"username": "me", "password": SecretStr("hunter2")}])
def test_a_camera_that_wants_another_login_says_so(server: MjpegServer, login: dict[str, object]) -> None:
    server.login = f"me:{PASSWORD}"
    with pytest.raises(CameraLost) as caught:
        open_video(config(server.url(), **login))
    assert str(caught.value) == (
        f"camera {server.url()}: cannot be opened: the camera refuses the user or the password ({ESCAPES})"
    )


@pytest.mark.parametrize("password", ["hun/ter2", "hun?ter2", "hun#ter2"])
def test_a_password_that_ends_the_host_is_escaped(password: str) -> None:
    with pytest.raises(CameraLost) as caught:
        open_video(config(f"rtsp://me:{password}@127.0.0.1/stream"))
    assert str(caught.value) == (
        "camera rtsp://…: cannot be opened: FFmpeg does not take the URL "
        f"({ESCAPES}, or set the camera's username and password)"
    )


def test_an_at_in_a_path_is_no_password() -> None:
    with pytest.raises(CameraLost, match=r"cannot be opened: Connection refused$"):
        open_video(config("http://127.0.0.1:9/user@hall"))


# What cannot be opened


def test_nobody_listening_is_camera_lost_without_the_password() -> None:
    with pytest.raises(CameraLost) as caught:
        open_video(config("http://user:hunter2@127.0.0.1:9/video?token=hunter2"))
    assert str(caught.value) == "camera http://127.0.0.1:9/…: cannot be opened: Connection refused"


def test_a_wrong_path_says_that_the_host_answers(server: MjpegServer) -> None:
    with pytest.raises(CameraLost) as caught:
        open_video(config(server.url("/wrong", "user:hunter2@")))
    assert str(caught.value) == (
        f"camera {server.url('/wrong')}: cannot be opened: "
        "the host answers, but gives no video (check path, user and password)"
    )


def test_a_silent_host_is_camera_lost_within_the_timeout(server: MjpegServer) -> None:
    with pytest.raises(CameraLost) as caught:
        open_video(config(server.url()))
    assert str(caught.value) == f"camera {server.url()}: no answer within 0.5 s"


def test_a_url_that_ffmpeg_does_not_take_is_camera_lost() -> None:
    with pytest.raises(CameraLost) as caught:
        open_video(config("nonsense://camera/1"))
    assert str(caught.value) == ("camera nonsense://camera/1: cannot be opened: FFmpeg does not take the URL")


def test_a_urls_password_is_in_no_name_and_no_log(
    server: MjpegServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    server.send(1)
    with caplog.at_level(logging.DEBUG):
        camera = open_video(config(server.url(user="user:hunter2@"), timeout_s=5))
        with camera:
            server.drop()
            read(camera)
            with pytest.raises(CameraLost) as caught:
                camera.read(10)
    told = [camera.name, str(caught.value), caplog.text, *capfd.readouterr()]
    told += [thread.name for thread in threading.enumerate()]
    assert "hunter2" not in "".join(told)
    assert camera.name == f"camera {server.url()}"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("rtsp://192.168.0.9:554/stream1", "camera rtsp://192.168.0.9:554/stream1"),
        ("rtsp://user:hunter2@cam/stream1", "camera rtsp://cam/stream1"),
        ("rtsp://user:hunter@2@cam/stream1", "camera rtsp://cam/stream1"),
        ("rtsp://hunter2@cam", "camera rtsp://cam"),
        ("http://cam/video.cgi?user=a&password=hunter2", "camera http://cam/…"),
        ("http://cam/a/video.cgi?password=hunter2", "camera http://cam/a/…"),
        ("http://cam?password=hunter2", "camera http://cam/…"),
        ("rtsp://cam/user=a_password=hunter2_channel=1", "camera rtsp://cam/…"),
        ("rtsp://user:hun/ter2@cam/stream1", "camera rtsp://…"),
        ("rtsp://user:hun?ter2@cam/stream1", "camera rtsp://…"),
        ("http://cam/video?password=hunter@2", "camera http://…"),
        ("rtsp://user:hunter2@[fe80::1]:554/1", "camera rtsp://[fe80::1]:554/1"),
    ],
)
def test_a_public_name_has_no_secret(url: str, name: str) -> None:
    assert public_name(url) == name
