"""The images camera, and read_image."""

from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from posed.camera.images import SUFFIXES, Images, find_images, open_images, read_image
from posed.camera.playback_clock import MAX_LAG_S, PlaybackClock
from posed.config import CameraConfig
from posed.errors import CameraEnded, CameraError, CameraLost, ImageError
from tests.clock import Clock


def config(source: Path | str, **settings: object) -> CameraConfig:
    return CameraConfig(kind="images", source=str(source), **{"realtime": False, **settings})


def write(path: Path, level: int = 0, size: tuple[int, int] = (32, 24)) -> Path:
    """A grey picture whose level tells which one it is."""
    assert cv2.imwrite(str(path), np.full((size[1], size[0], 3), level, np.uint8))
    return path


def levels(camera: Images, count: int) -> list[int]:
    frames = [camera.read(0) for _ in range(count)]
    return [int(frame.image[0, 0, 0]) for frame in frames if frame is not None]


# read_image


def test_a_picture_is_read_as_rgb(tmp_path: Path) -> None:
    red_in_bgr = np.zeros((2, 3, 3), np.uint8)
    red_in_bgr[..., 2] = 200
    cv2.imwrite(str(tmp_path / "red.png"), red_in_bgr)
    image = read_image(tmp_path / "red.png")
    assert (image.shape, image.dtype, image[0, 0].tolist()) == ((2, 3, 3), np.uint8, [200, 0, 0])


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(np.full((5, 7), 100, np.uint8), id="grey"),
        pytest.param(np.full((5, 7), 100 * 257, np.uint16), id="grey, 16 bit"),
        pytest.param(np.full((5, 7, 3), 100 * 257, np.uint16), id="rgb, 16 bit"),
        pytest.param(np.dstack([np.full((5, 7, 3), 100, np.uint8), np.zeros((5, 7), np.uint8)]), id="rgba"),
    ],
)
def test_grey_alpha_and_16_bit_become_rgb_of_8_bit(tmp_path: Path, picture: np.ndarray) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    image = read_image(tmp_path / "a.png")
    assert (image.shape, image.dtype, np.unique(image).tolist()) == ((5, 7, 3), np.uint8, [100])


@pytest.mark.parametrize("size", [(1, 1), (4000, 3000)])
def test_the_smallest_and_a_12_megapixel_picture_are_read(tmp_path: Path, size: tuple[int, int]) -> None:
    assert read_image(write(tmp_path / "a.jpg", 90, size)).shape == (size[1], size[0], 3)


@pytest.mark.parametrize("suffix", [".bmp", ".jpg", ".png", ".ppm", ".tiff", ".webp"])
def test_a_picture_that_is_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    picture = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    data = cv2.imencode(suffix, picture)[1].tobytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert str(caught.value) == (
        f"{path}: must be a whole picture in a format that OpenCV reads, got none or a damaged one"
    )


def test_a_progressive_jpeg_with_restarts_and_a_thumbnail_is_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    settings = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_RST_INTERVAL, 2]
    jpeg = cv2.imencode(".jpg", noise, settings)[1].tobytes()
    thumbnail = cv2.imencode(".jpg", noise[:8, :8])[1].tobytes()
    segment = b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    (tmp_path / "a.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:] + b"a film\xff\xda" * 9)
    assert read_image(tmp_path / "a.jpg").shape == (64, 64, 3)
    (tmp_path / "cut.jpg").write_bytes(jpeg[:2] + segment + jpeg[2:-2])
    with pytest.raises(ImageError, match=r"got none or a damaged one$"):
        read_image(tmp_path / "cut.jpg")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tiff", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_exif_is_honoured(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16] = 255
    upright[:16, 16:] = 100
    path = tmp_path / f"a{suffix}"
    path.write_bytes(with_orientation(stored(upright, orientation), orientation, suffix))
    assert np.abs(read_image(path).astype(int) - upright).max() < 20


def stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """A picture as a camera with this orientation stores it. Source: EXIF 2.3, tag 0x0112."""
    flip, transpose = np.fliplr, lambda image: image.transpose(1, 0, 2)
    ways = {
        1: lambda image: image,
        2: flip,
        3: lambda image: image[::-1, ::-1],
        4: np.flipud,
        5: transpose,
        6: lambda image: transpose(image)[::-1],
        7: lambda image: transpose(image)[::-1, ::-1],
        8: lambda image: flip(transpose(image)),
    }
    return np.ascontiguousarray(ways[orientation](upright))


def with_orientation(picture: np.ndarray, orientation: int, suffix: str = ".jpg") -> bytes:
    """A picture with EXIF that holds one tag: 0x0112, a short. Source: TIFF 6.0, EXIF 2.3."""
    data = cv2.imencode(suffix, picture, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    match suffix:
        case ".jpg":
            segment = b"Exif\0\0" + exif
            return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]
        case ".png":
            chunk = b"eXIf" + exif
            crc = struct.pack(">I", zlib.crc32(chunk))
            return data[:33] + struct.pack(">I", len(exif)) + chunk + crc + data[33:]
        case ".webp":
            height, width = picture.shape[:2]
            sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
            header = b"VP8X" + struct.pack("<II", 10, 8) + sides
            chunks = header + data[12:] + b"EXIF" + struct.pack("<I", len(exif)) + exif
            return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks
    return with_tiff_entry(data, entry)


def with_tiff_entry(data: bytes, entry: bytes) -> bytes:
    """A TIFF whose directory, copied to the end, has one more entry."""
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    entries = [data[at + 2 + 12 * n : at + 14 + 12 * n] for n in range(count)]
    entries = sorted([one for one in entries if one[:2] != entry[:2]] + [entry], key=lambda one: one[1::-1])
    directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
    data += bytes(len(data) % 2)
    return data[:4] + struct.pack("<I", len(data)) + data[8:] + directory


@pytest.mark.parametrize(
    "exif", [b"", b"II*\0", b"II*\0\x08\0\0\0\xff\xff\x12", b"MM\0*\xff\xff\xff\xff", b"no EXIF at all"]
)
def test_damaged_exif_is_as_good_as_none(tmp_path: Path, exif: bytes) -> None:
    picture = np.full((32, 48, 3), 100, np.uint8)
    data = cv2.imencode(".webp", picture)[1].tobytes()
    chunks = data[12:] + b"EXIF" + struct.pack("<I", len(exif)) + exif
    (tmp_path / "a.webp").write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks)
    assert read_image(tmp_path / "a.webp").shape == (32, 48, 3)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_folder_offers_what_can_be_read(tmp_path: Path, suffix: str) -> None:
    picture = np.full((48, 64, 3), 100, np.uint8)
    if suffix in {".pbm", ".pgm"}:
        picture = picture[..., 0]
    elif suffix in {".hdr", ".pic"}:
        picture = picture.astype(np.float32) / 255  # type: ignore[assignment]
    assert cv2.imwrite(str(tmp_path / f"a{suffix}"), picture)
    (path,) = find_images(str(tmp_path))
    assert read_image(path).shape == (48, 64, 3)


def test_a_missing_picture_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "none.jpg")
    assert str(caught.value) == f"{tmp_path}/none.jpg: cannot be read: No such file or directory"


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path)
    assert str(caught.value) == f"{tmp_path}: must be a picture, got a folder"


def test_an_empty_file_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "a.jpg")
    assert str(caught.value) == f"{tmp_path}/a.jpg: must be a picture, got an empty file"


def test_text_is_no_picture(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("no picture")
    with pytest.raises(ImageError, match=r"got none or a damaged one$"):
        read_image(tmp_path / "a.jpg")


def test_a_picture_too_large_for_opencv_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.pgm").write_bytes(b"P5 100000 100000 255\n" + bytes(1000))
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "a.pgm")
    assert "\n" not in str(caught.value)


# find_images


def test_pictures_are_sorted_by_number_and_not_by_letter(tmp_path: Path) -> None:
    for name in ("b10.png", "b9.png", "A1.png", "10.png", "9.png"):
        write(tmp_path / name)
    names = [path.name for path in find_images(str(tmp_path))]
    assert names == ["9.png", "10.png", "A1.png", "b9.png", "b10.png"]


def test_a_folder_gives_only_its_pictures(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    write(tmp_path / ".hidden.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in find_images(str(tmp_path))] == ["a.png"]


def test_a_glob_gives_what_it_matches(tmp_path: Path) -> None:
    for name in ("a.png", "a.jpg", "b.png"):
        write(tmp_path / name)
    assert [path.name for path in find_images(f"{tmp_path}/a.*")] == ["a.jpg", "a.png"]


def test_a_file_named_like_a_glob_is_that_file(tmp_path: Path) -> None:
    write(tmp_path / "a[1].png")
    assert [path.name for path in find_images(f"{tmp_path}/a[1].png")] == ["a[1].png"]


@pytest.mark.parametrize("source", ["", "/none.png", "/*.png"])
def test_a_folder_file_or_glob_without_pictures_is_an_error(tmp_path: Path, source: str) -> None:
    with pytest.raises(CameraError) as caught:
        open_images(config(f"{tmp_path}{source}"))
    assert not isinstance(caught.value, CameraLost)
    assert str(caught.value) == (
        f"camera {tmp_path}{source}: must be a picture, a folder of pictures or a glob, none found"
    )


# The camera


def test_every_picture_is_shown_once_and_then_the_camera_ends(tmp_path: Path) -> None:
    for level in (10, 20, 30):
        write(tmp_path / f"{level}.png", level)
    with open_images(config(tmp_path)) as camera:
        assert camera.live is False
        assert levels(camera, 3) == [10, 20, 30]
        with pytest.raises(CameraEnded, match="all pictures have been shown, 3 in all"):
            camera.read(0)


def test_a_looping_folder_starts_again_and_its_time_goes_on(tmp_path: Path) -> None:
    write(tmp_path / "1.png", 10)
    write(tmp_path / "2.png", 20)
    with open_images(config(tmp_path, loop=True, fps=10)) as camera:
        frames = [camera.read(0) for _ in range(5)]
    assert [int(frame.image[0, 0, 0]) for frame in frames if frame] == [10, 20, 10, 20, 10]
    assert [frame.time_s for frame in frames if frame] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [frame.sequence for frame in frames if frame] == [0, 1, 2, 3, 4]


def test_in_real_time_pictures_come_at_fps(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.png", n) for n in range(3)]
    clock = Clock()
    camera = Images(config(tmp_path, realtime=True, fps=4), paths, PlaybackClock(clock, clock.sleep))
    frames = [camera.read(1) for _ in range(3)]
    assert [frame.captured_at for frame in frames if frame] == [1000, 1000.25, 1000.5]


def test_a_picture_due_after_the_wait_is_none(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.png", n) for n in range(2)]
    clock = Clock()
    camera = Images(config(tmp_path, realtime=True, fps=1), paths, PlaybackClock(clock, clock.sleep))
    camera.read(0)
    assert camera.read(0.4) is None
    assert clock.now_s == pytest.approx(1000.4)
    assert levels(camera, 1) == []
    clock.now_s = 1001
    assert levels(camera, 1) == [1]


def test_a_reader_that_is_late_still_gets_every_picture(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.png", n) for n in range(4)]
    clock = Clock()
    camera = Images(config(tmp_path, realtime=True, fps=10), paths, PlaybackClock(clock, clock.sleep))
    camera.read(0)
    clock.now_s += MAX_LAG_S * 5
    assert levels(camera, 1) == [1]
    clock.now_s += 0.3
    assert levels(camera, 2) == [2, 3]


def test_an_unreadable_picture_is_skipped_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path / "1.png", 10)
    (tmp_path / "2.png").write_text("no picture")
    write(tmp_path / "3.png", 30)
    with caplog.at_level(logging.WARNING), open_images(config(tmp_path, loop=True)) as camera:
        assert levels(camera, 5) == [10, 30, 10, 30, 10]
    assert [record.getMessage() for record in caplog.records] == [
        f"camera {tmp_path}: skipped: {tmp_path}/2.png: "
        "must be a whole picture in a format that OpenCV reads, got none or a damaged one"
    ]


def test_a_picture_deleted_while_playing_is_skipped(tmp_path: Path) -> None:
    write(tmp_path / "1.png", 10)
    write(tmp_path / "2.png", 20)
    with open_images(config(tmp_path, loop=True)) as camera:
        assert levels(camera, 2) == [10, 20]
        (tmp_path / "2.png").unlink()
        assert levels(camera, 2) == [10, 10]


def test_pictures_that_fail_in_turn_do_not_end_a_loop(tmp_path: Path) -> None:
    write(tmp_path / "1.png", 10).rename(tmp_path / "1.kept")
    (tmp_path / "1.png").touch()
    write(tmp_path / "2.png", 20)
    with open_images(config(tmp_path, loop=True)) as camera:
        assert levels(camera, 1) == [20]
        (tmp_path / "1.kept").rename(tmp_path / "1.png")
        (tmp_path / "2.png").write_bytes(b"")
        assert levels(camera, 3) == [10, 10, 10]


def test_a_folder_of_unreadable_pictures_is_an_error_in_loops(tmp_path: Path) -> None:
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_text("no picture")
    with (
        open_images(config(tmp_path, loop=True)) as camera,
        pytest.raises(CameraError, match="none of 2 pictures can be read"),
    ):
        camera.read(0)


def test_one_unreadable_picture_alone_is_an_error_with_its_reason(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.png").touch()
    with open_images(config(tmp_path / "a.png")) as camera, pytest.raises(CameraError) as caught:
        camera.read(0)
    assert str(caught.value) == f"camera {tmp_path}/a.png: must be a picture, got an empty file"
    assert not caplog.records


def test_pictures_are_turned_and_mirrored_but_not_resized(tmp_path: Path) -> None:
    picture = np.zeros((24, 32, 3), np.uint8)
    picture[0, 0] = 255
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    with open_images(config(tmp_path, rotate=90, mirror=True, size=(640, 480))) as camera:
        frame = camera.read(0)
    assert frame is not None
    assert frame.image.shape == (32, 24, 3)
    assert frame.image[0, 0].tolist() == [255, 255, 255]
