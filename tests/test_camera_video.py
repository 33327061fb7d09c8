"""The video camera: files, HTTP streams from a real server, and devices that are not there."""

from __future__ import annotations

import gc
import itertools
import logging
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from posed.camera import video
from posed.camera.base import Grabbed
from posed.camera.decoder import Decoder
from posed.camera.playback_clock import MAX_LAG_S, PlaybackClock
from posed.camera.url import UrlSource
from posed.camera.video import LiveVideo, VideoFile, open_video
from posed.config import CameraConfig
from posed.errors import CameraEnded, CameraError, CameraLost
from posed.frame import Frame, Image
from tests.clock import Clock
from tests.films import transport_stream, varying_rate
from tests.http_camera import SIZE, MjpegServer, jpeg, number_of, picture, until

FPS = 10


def numbers(frames: list[Frame]) -> list[int]:
    return [number_of(frame.image) for frame in frames]


def config(source: Path | str, **settings: object) -> CameraConfig:
    return CameraConfig(kind="video", source=str(source), **{"timeout_s": 0.5, **settings})


def recorded(source: Path, **settings: object) -> CameraConfig:
    return config(source, **{"realtime": False, **settings})


def write(path: Path, count: int = 12, fourcc: str = "mp4v") -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*fourcc), FPS, SIZE)
    assert writer.isOpened()
    for number in range(count):
        writer.write(picture(number))
    writer.release()
    return path


def read_all(camera: VideoFile, wait_s: float = 0) -> list[Frame]:
    """Every frame until the end."""
    frames = []
    try:
        while True:
            if frame := camera.read(wait_s):
                frames.append(frame)
    except CameraEnded:
        return frames


def play(path: Path, **settings: object) -> tuple[VideoFile, Clock]:
    clock = Clock()
    return VideoFile(config(path, **settings), PlaybackClock(clock, clock.sleep)), clock


# Files, as fast as they are read


def test_every_frame_of_a_file_is_read_with_its_timestamp(tmp_path: Path) -> None:
    with VideoFile(recorded(write(tmp_path / "a.mp4"))) as camera:
        assert camera.live is False
        frames = read_all(camera)
    assert numbers(frames) == list(range(12))
    assert [frame.sequence for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx([n / FPS for n in range(12)])


def below(frame: Frame) -> list[float]:
    """Mean colour of the lower third."""
    return [float(mean) for mean in frame.image[SIZE[1] * 2 // 3 :].mean(axis=(0, 1))]


def test_a_title_that_is_no_utf_8_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(path, "w") as container:
        container.metadata["title"] = "TITLE"
        stream = container.add_stream("mpeg4", FPS)
        stream.width, stream.height = SIZE
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(1), format="bgr24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert b"TITLE" in content
    path.write_bytes(content.replace(b"TITLE", b"\xff\xfe\xfd\xfc\xfb"))
    with VideoFile(recorded(path)) as camera:
        assert len(read_all(camera)) == 1


def test_frames_are_rgb(tmp_path: Path) -> None:
    with VideoFile(recorded(write(tmp_path / "a.mp4", 1))) as camera:
        red, green, blue = below(read_all(camera)[0])
    assert red > 180
    assert max(green, blue) < 60


def test_a_file_that_ends_keeps_raising_camera_ended(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", 3)
    with VideoFile(recorded(path)) as camera:
        read_all(camera)
        with pytest.raises(CameraEnded) as caught:
            camera.read(0)
    assert str(caught.value) == f"camera {path}: played to its end, 3 frames"


def test_the_time_of_a_looping_file_goes_on(tmp_path: Path) -> None:
    with VideoFile(recorded(write(tmp_path / "a.mp4", 3), loop=True)) as camera:
        frames = [frame for _ in range(8) if (frame := camera.read(0))]
    assert numbers(frames) == [0, 1, 2, 0, 1, 2, 0, 1]
    assert [frame.time_s for frame in frames] == pytest.approx([n / FPS for n in range(8)])


def test_a_looping_file_that_is_deleted_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", 1)
    with VideoFile(recorded(path, loop=True)) as camera:
        camera.read(0)
        path.unlink()
        with pytest.raises(CameraError, match=r"must be a video, there is no such file$"):
            camera.read(0)


def test_rotate_and_mirror_turn_the_frames(tmp_path: Path) -> None:
    with VideoFile(recorded(write(tmp_path / "a.mp4", 1), rotate=90, mirror=True)) as camera:
        image = read_all(camera)[0].image
    assert image.shape == (SIZE[0], SIZE[1], 3)
    assert image[:, 70:, 0].mean() > 180, (
        "clockwise brings the red from the bottom to the left, mirror to the right"
    )


@pytest.mark.parametrize(
    ("matrix", "at"),
    [
        pytest.param((0, 1, -1, 0), "left", id="90 degrees clockwise"),
        pytest.param((-1, 0, 0, -1), "top", id="180 degrees"),
        pytest.param((0, -1, 1, 0), "right", id="270 degrees clockwise"),
    ],
)
def test_a_phones_video_is_turned_as_its_tag_says(
    tmp_path: Path, matrix: tuple[int, int, int, int], at: str
) -> None:
    path = tag_rotation(write(tmp_path / "a.mp4", 1), *matrix)
    with VideoFile(recorded(path)) as camera:
        image = read_all(camera)[0].image
    height, width = image.shape[:2]
    assert (width, height) == (SIZE if at == "top" else SIZE[::-1])
    part = {"left": image[:, : width // 3], "right": image[:, -width // 3 :], "top": image[: height // 3]}[at]
    assert part[..., 0].mean() > 180, "the red from the bottom"
    assert part[..., 2].mean() < 60


def test_a_frame_that_was_read_is_freed_at_once(tmp_path: Path) -> None:
    gc.collect()
    gc.disable()
    try:
        with VideoFile(recorded(write(tmp_path / "a.mp4"))) as camera:
            read_all(camera)
            # The newest one, and the one before it.
            assert sum(isinstance(one, av.VideoFrame) for one in gc.get_objects()) <= 2
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        pytest.param((-1, 0, 0, 1), lambda image: image[:, ::-1], id="left to right"),
        pytest.param((1, 0, 0, -1), lambda image: image[::-1], id="upside down"),
        pytest.param((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2), id="90 degrees clockwise"),
        pytest.param((0, -1, -1, 0), lambda image: image[::-1, ::-1].transpose(1, 0, 2), id="270 degrees"),
    ],
)
def test_a_video_is_mirrored_as_its_tag_says(
    tmp_path: Path, matrix: tuple[int, int, int, int], upright: Callable[[Image], Image]
) -> None:
    path = write(tmp_path / "a.mp4", 2)
    with VideoFile(recorded(path)) as camera:
        plain = read_all(camera)[1].image
    with VideoFile(recorded(tag_rotation(path, *matrix))) as camera:
        image = read_all(camera)[1].image
    assert np.array_equal(image, upright(plain))


def tag_rotation(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Write the matrix that a phone writes into an MP4's track header. Source: ISO/IEC 14496-12, 8.3.2."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def test_a_file_that_changes_its_size_is_read_in_both(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(transport_stream(tmp_path, (256, 192)) + transport_stream(tmp_path, SIZE))
    with VideoFile(recorded(path)) as camera:
        frames = read_all(camera)
    sizes = [frame.image.shape[1::-1] for frame in frames]
    assert sorted(set(sizes)) == [SIZE, (256, 192)]
    assert [number_of(frame.image) for frame in frames[-3:]] == [9, 10, 11]
    assert [number_of(frame.image) for frame in frames[:3]] == [0, 1, 2]


def test_timestamps_that_leap_are_replaced_by_the_rate(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", 5)
    data = bytearray(path.read_bytes())
    # In "stts", after version, flags and the number of entries: (frames, ticks per frame).
    ticks_at = data.index(b"stts") + 16
    data[ticks_at : ticks_at + 4] = b"\x00\xff\xff\xff"
    path.write_bytes(data.replace(b"elst", b"free"))
    with VideoFile(recorded(path, fps=25)) as camera:
        frames = read_all(camera)
    assert [frame.time_s for frame in frames] == pytest.approx([n / 25 for n in range(5)])


@pytest.mark.parametrize(
    ("stamps_s", "ends_at_s"),
    [
        ([0, 0.1, 2.1, 0.2, 2.2, 2.3], 2.4),
        ([5, 5.1, 0, 0.1, 0.2, 0.5], 0.7),
    ],
    ids=["behind a hole", "begin anew"],
)
def test_timestamps_that_go_back_count_no_time_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stamps_s: list[float], ends_at_s: float
) -> None:
    path, stamps = write(tmp_path / "a.avi", 6, "MJPG"), iter(stamps_s)
    monkeypatch.setattr(Decoder, "time_s", lambda *_: next(stamps))
    with VideoFile(recorded(path)) as camera:
        assert read_all(camera)[-1].time_s == pytest.approx(ends_at_s)


def test_a_video_of_varying_rate_has_its_own_times(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    times_ms = [0, 33, 233, 266, 332, 365, 565, 631, 664, 730]
    path = varying_rate(tmp_path / "a.mkv", times_ms)
    with caplog.at_level(logging.WARNING), VideoFile(recorded(path, fps=25)) as camera:
        assert (camera.fps, camera.total) == (25, None)
        frames = read_all(camera)
    assert [frame.time_s for frame in frames] == pytest.approx([ms / 1000 for ms in times_ms])
    assert numbers(frames) == list(range(10))
    assert not caplog.records


def test_a_picture_is_a_video_of_one_frame(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.bmp"), picture(5))
    with VideoFile(recorded(tmp_path / "a.bmp")) as camera:
        frames = read_all(camera)
    assert numbers(frames) == [5]
    assert frames[0].time_s == 0


# Files, at their own rate


def test_a_file_plays_at_its_own_rate(tmp_path: Path) -> None:
    camera, clock = play(write(tmp_path / "a.mp4"))
    assert camera.live is True
    frames = read_all(camera, 0.06)
    assert numbers(frames) == list(range(12))
    assert [frame.captured_at for frame in frames] == pytest.approx([1000 + n / FPS for n in range(12)])
    assert clock.now_s == pytest.approx(1001.1)


def test_a_frame_due_after_the_wait_is_none(tmp_path: Path) -> None:
    camera, clock = play(write(tmp_path / "a.mp4"))
    camera.read(0)
    assert camera.read(0.04) is None
    assert clock.now_s == pytest.approx(1000.04)
    frame = camera.read(0.07)
    assert frame is not None
    assert number_of(frame.image) == 1
    assert clock.now_s == pytest.approx(1000.1)


def test_a_late_reader_of_a_file_gets_the_newest_frame(tmp_path: Path) -> None:
    camera, clock = play(write(tmp_path / "a.mp4"))
    camera.read(0)
    clock.now_s += 0.75
    frame = camera.read(0)
    assert frame is not None
    assert number_of(frame.image) == 7
    assert frame.time_s == pytest.approx(0.7)
    assert frame.sequence == 1


def test_a_file_unread_for_long_goes_on_there(tmp_path: Path) -> None:
    camera, clock = play(write(tmp_path / "a.mp4"))
    camera.read(0)
    clock.now_s += 3600
    frames = [frame for _ in range(2) if (frame := camera.read(0.1))]
    assert numbers(frames) == [1, 2]
    assert frames[0].captured_at >= clock.now_s - MAX_LAG_S


def test_a_looping_file_keeps_its_rate_over_the_seam(tmp_path: Path) -> None:
    camera, _ = play(write(tmp_path / "a.mp4", 3), loop=True)
    frames = [frame for _ in range(7) if (frame := camera.read(0.11))]
    assert numbers(frames) == [0, 1, 2, 0, 1, 2, 0]
    assert [frame.captured_at for frame in frames] == pytest.approx([1000 + n / FPS for n in range(7)])


def test_a_real_recording_at_5_hz_is_seen_whole(shared: Path) -> None:
    camera, clock = play(shared / "testdata" / "walkers_768x576.mp4")
    frames = []
    try:
        while frame := camera.read(0.2):
            frames.append(frame)
            clock.now_s += 0.2
    except CameraEnded:
        pass
    assert len(frames) == pytest.approx(100, abs=2)
    assert frames[-1].time_s == pytest.approx(19.8, abs=0.2)


# Files that are broken


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "must be a video, there is no such file"),
        (b"", "must be a video that FFmpeg reads, got none or a damaged one"),
        (
            b"no video, a text\n" * 50,
            "must be a video that FFmpeg reads, got none or a damaged one",
        ),
        (bytes(range(256)) * 400, "must be a video that FFmpeg reads, got none or a damaged one"),
    ],
)
def test_a_file_that_is_no_video_is_an_error(tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "a.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CameraError) as caught:
        open_video(config(path))
    assert not isinstance(caught.value, CameraLost)
    assert str(caught.value) == f"camera {path}: {why}"


def test_a_folder_is_no_video(tmp_path: Path) -> None:
    with pytest.raises(CameraError) as caught:
        open_video(config(tmp_path))
    assert str(caught.value) == f"camera {tmp_path}: must be a video, is a folder"


def test_an_mp4_cut_before_its_index_is_no_video(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", 100)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(CameraError, match=r"got none or a damaged one$"):
        open_video(config(path))


def test_a_video_without_a_decodable_frame_is_an_error(tmp_path: Path) -> None:
    path = scramble(write(tmp_path / "a.mp4", 5), 0, 1)
    with pytest.raises(CameraError) as caught:
        open_video(config(path))
    assert str(caught.value) == f"camera {path}: must be a video, not one frame of it can be decoded"


def scramble(path: Path, start: float, end: float) -> Path:
    """Overwrite this part of an MP4's pictures (its `mdat`) with zeros, which no decoder takes."""
    data = bytearray(path.read_bytes())
    first = data.index(b"mdat") + 4
    length = data.index(b"moov") - 4 - first
    for at in range(first + int(start * length), first + int(end * length)):
        data[at] = 0
    path.write_bytes(data)
    return path


def test_damage_inside_a_file_is_skipped_and_reported_last(
    shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes((shared / "testdata" / "walkers_768x576.mp4").read_bytes())
    with caplog.at_level(logging.WARNING), VideoFile(recorded(scramble(path, 0.4, 0.5))) as camera:
        frames = read_all(camera)
    assert 150 < len(frames) < 200
    assert frames[-1].time_s == pytest.approx(19.9, abs=2)
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"camera {path}: damaged at frame ")
    assert message.endswith(f" of 200, {len(frames)} could be read")


def test_a_file_with_a_damaged_beginning_plays_the_rest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = scramble(write(tmp_path / "a.mp4", 240), 0, 0.6)
    with caplog.at_level(logging.WARNING), VideoFile(recorded(path)) as camera:
        frames = read_all(camera)
    assert 60 < len(frames) < 130
    assert number_of(frames[-1].image) == 239
    assert [record.getMessage() for record in caplog.records] == [
        f"camera {path}: damaged at frame 0 of 240, {len(frames)} could be read"
    ]


def test_a_recording_from_between_keyframes_plays_from_the_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.ts"
    data = transport_stream(tmp_path, SIZE, 240, gop_size=120)
    path.write_bytes(data[len(data) // 4 // 188 * 188 :])
    with caplog.at_level(logging.WARNING), VideoFile(recorded(path)) as camera:
        frames = read_all(camera)
    assert len(frames) == 120
    assert number_of(frames[-1].image) == 239
    (message,) = [record.getMessage() for record in caplog.records]
    assert message.startswith(f"camera {path}: damaged at frame 0 of ")
    assert message.endswith(", 120 could be read")


def lossy(data: bytes, every: int) -> bytes:
    """A transport stream of which one in so many packets is lost, but none of the first."""
    packets = [data[at : at + 188] for at in range(0, len(data), 188)]
    return b"".join(packet for number, packet in enumerate(packets) if number < every or number % every)


def test_frames_with_pieces_missing_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, data = tmp_path / "a.ts", transport_stream(tmp_path, SIZE, 60, gop_size=1)
    path.write_bytes(lossy(data, 4))
    with caplog.at_level(logging.WARNING), VideoFile(recorded(path)) as camera:
        images = [frame.image for frame in read_all(camera)]
    assert 10 < len(images) < 60
    wrong = [np.abs(image.astype(int) - picture(number_of(image))[:, :, ::-1]).mean() for image in images]
    assert max(wrong) < 5
    assert f", {len(images)} could be read" in caplog.text


def test_a_stream_of_nothing_but_damage_is_shown_anyway(tmp_path: Path) -> None:
    path, data = tmp_path / "a.ts", transport_stream(tmp_path, SIZE, 200, gop_size=1)
    path.write_bytes(lossy(data, 2))
    with VideoFile(recorded(path)) as camera:
        assert len(read_all(camera)) > 20


def test_a_file_cut_short_plays_that_far_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.avi", 60, "MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING), VideoFile(recorded(path)) as camera:
        frames = read_all(camera)
    count = len(frames)
    assert 20 < count < 40
    assert numbers(frames[:-1]) == list(range(count - 1))
    assert [record.getMessage() for record in caplog.records] == [
        f"camera {path}: damaged at frame {count} of 60, {count} could be read"
    ]


def test_a_damaged_file_that_loops_warns_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "a.avi", 20, "MJPG")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING), VideoFile(recorded(path, loop=True)) as camera:
        for _ in range(50):
            camera.read(0)
    assert len(caplog.records) == 1


def test_a_whole_file_ends_without_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with (
        caplog.at_level(logging.WARNING),
        VideoFile(recorded(write(tmp_path / "a.avi", 9, "MJPG"))) as camera,
    ):
        assert len(read_all(camera)) == 9
    assert not caplog.records


# Live sources: a camera that speaks MJPEG over HTTP


@pytest.fixture
def server() -> Iterator[MjpegServer]:
    camera = MjpegServer()
    yield camera
    camera.close()


def read_live(camera: LiveVideo | object) -> Frame:
    assert isinstance(camera, LiveVideo)
    frame = camera.read(10)
    assert frame is not None
    return frame


def opened(server: MjpegServer, **settings: object) -> LiveVideo:
    server.send(1)
    camera = open_video(config(server.url(), **{"timeout_s": 5, **settings}))
    assert isinstance(camera, LiveVideo)
    return camera


def test_a_live_frame_has_the_time_of_its_capture(server: MjpegServer) -> None:
    before = time.monotonic()
    with opened(server) as camera:
        frame = read_live(camera)
        assert camera.live is True
    assert number_of(frame.image) == 1
    assert below(frame)[0] > 180
    assert before <= frame.captured_at <= time.monotonic()
    assert frame.time_s == frame.captured_at


class NotingSource(UrlSource):
    """Notes the number of the newest frame that the camera has taken: it came back for another."""

    taken = came = 0

    def next(self) -> Grabbed | None:
        self.taken = self.came
        grabbed = super().next()
        if grabbed is not None:
            self.came = number_of(grabbed.to_rgb())
        return grabbed


def test_a_slow_reader_of_a_live_source_gets_the_newest(server: MjpegServer) -> None:
    server.send(1)
    settings = config(server.url(), timeout_s=5)
    sources: list[NotingSource] = []

    def open_source() -> NotingSource:
        sources.append(NotingSource(settings))
        return sources[0]

    with LiveVideo(settings, "camera", open_source) as camera:
        read_live(camera)
        server.send(*range(2, 101))
        until(lambda: sources[0].taken == 100)
        frame = read_live(camera)
    assert number_of(frame.image) == 100
    assert frame.sequence == 1


def test_a_live_source_is_read_no_faster_than_asked_for(server: MjpegServer) -> None:
    with opened(server, fps=10) as camera:
        sending = threading.Thread(target=lambda: [server.send(number % 200) for number in paced(1.0)])
        sending.start()
        frames = []
        while sending.is_alive():
            if (frame := camera.read(0.05)) is not None:
                frames.append(frame)
    assert 3 <= len(frames) <= 13


def paced(length_s: float) -> Iterator[int]:
    """Counts, a hundred times a second."""
    until = time.monotonic() + length_s
    for number in itertools.count():
        if time.monotonic() > until:
            return
        yield number
        time.sleep(0.01)


def test_no_live_frame_is_read_twice(server: MjpegServer) -> None:
    with opened(server) as camera:
        read_live(camera)
        assert camera.read(0.05) is None


def test_a_live_source_that_stalls_is_lost_after_the_timeout(server: MjpegServer) -> None:
    with opened(server, timeout_s=1) as camera:
        read_live(camera)
        with pytest.raises(CameraLost) as caught:
            camera.read(10)
    assert str(caught.value) == f"camera {server.url()}: no frame within 1 s"


def test_a_live_source_that_drops_is_lost_and_stays_lost(server: MjpegServer) -> None:
    with opened(server) as camera:
        server.drop()
        read_live(camera)
        for _ in range(2):
            with pytest.raises(CameraLost) as caught:
                camera.read(10)
            assert str(caught.value) == f"camera {server.url()}: the stream ended"


def test_a_live_source_that_dropped_can_be_opened_again(server: MjpegServer) -> None:
    with opened(server) as camera:
        server.drop()
        read_live(camera)
        with pytest.raises(CameraLost):
            camera.read(10)
    with opened(server) as camera:
        assert read_live(camera).sequence == 0


def test_one_damaged_picture_does_not_end_a_live_source(server: MjpegServer) -> None:
    with opened(server) as camera:
        read_live(camera)
        server.parts.put(b"\xff\xd8 no picture \xff\xd9")
        server.send(2, 3)
        until(lambda: number_of(read_live(camera).image) == 3)


def test_a_picture_that_breaks_off_is_no_live_frame(server: MjpegServer) -> None:
    with opened(server) as camera:
        read_live(camera)
        whole = jpeg(2)
        server.parts.put(whole[: len(whole) * 3 // 4])
        server.send(3)
        assert number_of(read_live(camera).image) == 3


@pytest.mark.parametrize("size", [(256, 192), (64, 48)])
def test_a_live_source_may_change_its_size(server: MjpegServer, size: tuple[int, int]) -> None:
    with opened(server) as camera:
        assert read_live(camera).image.shape == (SIZE[1], SIZE[0], 3)
        server.send(*range(2, 30), size=size)
        while number_of((frame := read_live(camera)).image) != 29:
            pass
    assert frame.image.shape == (size[1], size[0], 3)


def test_closing_a_live_source_ends_its_thread(server: MjpegServer) -> None:
    with opened(server) as camera:
        server.send(*range(50))
    server.send(51)
    until(lambda: camera.name not in {thread.name for thread in threading.enumerate()})


# Live sources that hang: only a fake hangs on command


class HangingSource:
    """Hangs in next() until it is let go."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.hanging = threading.Event()
        self.closed = threading.Event()

    def next(self) -> None:
        self.hanging.set()
        assert self.let_go.wait(30)

    def close(self) -> None:
        self.closed.set()


def test_a_read_that_hangs_does_not_hang_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "CLOSE_WAIT_S", 0.05)
    source = HangingSource()
    with LiveVideo(config("0"), "camera fake", lambda: source) as camera:  # type: ignore[arg-type, return-value]
        assert source.hanging.wait(10)
        assert camera.read(0.01) is None
    assert not source.closed.is_set(), "a library crashes when what it reads is closed"
    source.let_go.set()
    assert source.closed.wait(10)


def test_an_opening_that_hangs_is_camera_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "OPEN_MARGIN_S", 0.0)
    source = HangingSource()
    let_go = threading.Event()

    def open_slowly() -> HangingSource:
        assert let_go.wait(30)
        return source

    with pytest.raises(CameraLost) as caught:
        LiveVideo(config("0"), "camera fake", open_slowly)  # type: ignore[arg-type]
    assert str(caught.value) == "camera fake: opening hangs for over 0.5 s"
    let_go.set()
    assert source.closed.wait(10)


# Devices


@pytest.mark.parametrize("source", ["250", "/dev/video250"])
def test_a_device_that_is_not_there_is_camera_lost(source: str) -> None:
    with pytest.raises(CameraLost) as caught:
        open_video(config(source))
    assert str(caught.value) == "camera /dev/video250: no such device"


def test_a_device_that_is_no_camera_is_camera_lost(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CameraLost) as caught:
        open_video(config("/dev/null"))
    assert str(caught.value) == (
        "camera /dev/null: cannot be opened: in use by another program, or no camera"
    )
    assert capfd.readouterr().err == ""


class AskedDevice:
    """Stands in for OpenCV's device: notes what it is asked for, and gives no frame."""

    def __init__(self) -> None:
        self.asked: dict[int, float] = {}

    def isOpened(self) -> bool:  # noqa: N802 OpenCV's name
        return True

    def grab(self) -> bool:
        return False

    def release(self) -> None:
        pass

    def set(self, setting: int, value: float) -> bool:
        self.asked[setting] = value
        return True


@pytest.fixture
def asked_device(monkeypatch: pytest.MonkeyPatch) -> AskedDevice:
    """What every device is, among them `/dev/null`, which is there everywhere."""
    device = AskedDevice()
    monkeypatch.setattr(video.cv2, "VideoCapture", lambda *_: device)
    return device


@pytest.mark.parametrize(("size", "mjpeg"), [((640, 480), False), ((1280, 720), True)])
def test_a_device_is_asked_for_size_rate_and_large_mjpeg(
    asked_device: AskedDevice, size: tuple[int, int], mjpeg: bool
) -> None:
    device = asked_device
    with open_video(config("/dev/null", size=size, fps=15)):
        pass
    fourcc = device.asked.pop(cv2.CAP_PROP_FOURCC, None)
    assert fourcc == (cv2.VideoWriter.fourcc(*"MJPG") if mjpeg else None)
    assert device.asked == {
        cv2.CAP_PROP_FRAME_WIDTH: size[0],
        cv2.CAP_PROP_FRAME_HEIGHT: size[1],
        cv2.CAP_PROP_FPS: 15,
    }


def test_without_a_wanted_size_the_device_keeps_its_own(asked_device: AskedDevice) -> None:
    with open_video(config("/dev/null")):
        pass
    assert asked_device.asked == {cv2.CAP_PROP_FPS: 30}
