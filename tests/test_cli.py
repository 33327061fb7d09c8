"""The commands, as a user runs them: output, errors in one line, exit status."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from posed import __version__
from posed.model.catalogue import CATALOGUE
from posed.pose import KEYPOINTS
from scripts.paths import ROOT
from scripts.standins.edgetpu import Behaviour, write_heads
from tests.make_movenet import MULTI, SEEN, SINGLE, UPRIGHT, make_movenet, multi_values
from tests.make_movenet import person as drawn
from tests.make_tflite import make_tflite
from tests.run_posed import complaints, environment, posed
from tests.standin import built

RED = (0, 0, 255)
LIMIT = "decode.score_threshold: must be less than 1, got 7.0 (set by --threshold)"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A tiny network that takes red for people."""
    path = tmp_path / "red.tflite"
    path.write_bytes(make_tflite())
    return path


def picture(path: Path, colour: Any = RED, size: tuple[int, int] = (130, 98)) -> Path:
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), colour, np.uint8))
    return path


def test_it_says_its_version(tmp_path):
    done = posed(tmp_path, "--version")
    assert (done.returncode, done.stdout) == (0, f"posed {__version__}\n")


@pytest.mark.parametrize(
    "command",
    ["run", "check", "health", "detect", "model", "setup", "bench", "doctor", "record", "replay", "draw"],
)
def test_every_command_has_help(tmp_path, command):
    assert posed(tmp_path, command, "--help").returncode == 0


def imported_by(folder: Path, *arguments: str) -> set[str]:
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment(folder))
    return {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}


def test_help_imports_nothing_heavy(tmp_path):
    """All of these together take a Pi seconds; the command line alone takes what typer takes."""
    imported = imported_by(tmp_path, "-m", "posed", "--help")
    assert "posed.cli" in imported
    heavy = {"numpy", "cv2", "yaml", "msgspec", "paho", "flatbuffers", "zeroconf", "ai_edge_litert", "scipy"}
    assert not heavy & {name.partition(".")[0] for name in imported}
    assert not {"posed.config", "posed.daemon", "posed.commands.report", "posed.pipeline.pipeline"} & imported


def test_settings_need_no_numpy(tmp_path):
    imported = imported_by(tmp_path, "-c", "from posed.config import load; load(None)")
    assert "posed.config" in imported
    assert "numpy" not in imported


def test_a_download_without_a_name_says_where_names_are(tmp_path):
    done = posed(tmp_path, "model", "pull", more={"COLUMNS": "120"})
    assert done.returncode == 2
    assert "NAME: must be a name of `posed model list`, got none" in done.stderr


def test_an_unknown_option_is_status_2(tmp_path):
    assert posed(tmp_path, "run", "--nonsense").returncode == 2


def test_check_says_that_a_file_is_good(tmp_path, model):
    config = tmp_path / "posed.yaml"
    config.write_text(f"model: {{name: {model}}}\n")
    done = posed(tmp_path, "check", "--config", config)
    assert (done.returncode, done.stdout) == (0, f"{config}: good\n")


def test_check_says_how_to_get_a_missing_model(tmp_path):
    done = posed(tmp_path, "check")
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].endswith("get it with: posed model pull coral-353x481")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("model: {name: coral-35x481}", "model.name: model coral-35x481: must be a known name"),
        ("mqtt: {tls: {ca: /nowhere.pem}}", "mqtt.tls.ca: must be a readable PEM file, got /nowhere.pem"),
        ("mqtt: {username: u, password_file: /nowhere}", "mqtt.password_file: must be a readable text file"),
    ],
)
def test_check_looks_at_the_files_that_are_named(tmp_path, settings, problem):
    config = tmp_path / "posed.yaml"
    config.write_text(settings)
    done = posed(tmp_path, "check", "--config", config)
    assert done.returncode == 2
    assert done.stderr.startswith(problem)


def test_check_lists_every_problem_and_is_status_2(tmp_path):
    config = tmp_path / "posed.yaml"
    config.write_text("cameras: {hall: {fps: 0}}\nmqtt: {prot: 1}\n")
    done = posed(tmp_path, "check", "--config", config)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "cameras.hall.fps: must be at least 1, got 0",
        "mqtt.prot: unknown key; did you mean port?",
    ]


def test_check_looks_at_the_overlay_too(tmp_path):
    overlay = tmp_path / "state" / "posed" / "overlay.yaml"
    overlay.parent.mkdir(parents=True)
    overlay.write_text("cameras: {camera: {fps: 0}}\n")
    done = posed(tmp_path, "check")
    assert done.returncode == 2
    assert done.stderr == f"cameras.camera.fps: must be at least 1, got 0 (set by {overlay})\n"


def test_check_looks_at_the_overlay_of_another_state_folder(tmp_path):
    (tmp_path / "overlay.yaml").write_text("cameras: {camera: {fps: 0}}\n")
    done = posed(tmp_path, "check", "--state", str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"cameras.camera.fps: must be at least 1, got 0 (set by {tmp_path}/overlay.yaml)\n"


def test_detect_prints_one_message_per_picture_and_nothing_else(tmp_path, model):
    first, second = picture(tmp_path / "1.png"), picture(tmp_path / "2.png", (255, 0, 0))
    done = posed(tmp_path, "detect", first, second, "--model", model, "--json")
    red, blue = (json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 0
    assert (red["schema"], red["camera"], red["sequence"], blue["sequence"]) == (2, "camera", 0, 1)
    assert red["image"] == str(first)
    assert red["people"]
    assert blue["people"] == []
    assert list(red["people"][0]["keypoints"]) == list(KEYPOINTS)


def test_detect_takes_its_limits_from_the_command_line(tmp_path, model):
    path = picture(tmp_path / "1.png")
    many = posed(tmp_path, "detect", path, "--model", model, "--json", "--max-people", "2")
    none = posed(tmp_path, "detect", path, "--model", model, "--json", "--threshold", "0.999")
    one = posed(tmp_path, "detect", path, "--model", model, "--json", "--one")
    assert len(json.loads(many.stdout)["people"]) <= 2
    assert json.loads(none.stdout)["people"] == []
    assert len(json.loads(one.stdout)["people"]) == 1


def test_detect_says_what_looking_for_one_person_assumes(tmp_path, model):
    path = picture(tmp_path / "1.png")
    heads = [
        posed(tmp_path, "detect", path, "--model", model, *options).stdout.splitlines()[0]
        for options in ((), ("--one",), ("--one", "--threshold", "0.999"))
    ]
    said = [head.removeprefix(f"{path}: ").partition(" (inference")[0] for head in heads]
    assert said[1:] == ["1 person, assumed to be alone: several would be one body here", "0 people"]
    assert "assumed" not in said[0]


def test_a_limit_out_of_range_is_a_problem_there(tmp_path, model):
    done = posed(tmp_path, "detect", picture(tmp_path / "1.png"), "--model", model, "--threshold", "7")
    assert (done.returncode, done.stderr) == (2, f"{LIMIT}\n")


def test_detect_draws_skeletons(tmp_path, model):
    path, out = picture(tmp_path / "1.png"), tmp_path / "drawn.png"
    assert posed(tmp_path, "detect", path, "--model", model, "--output", out).returncode == 0
    drawn = cv2.imread(str(out))
    assert drawn.shape == (98, 130, 3)
    assert (drawn != RED).any(axis=2).sum() > 50


def test_detect_draws_several_pictures_into_a_folder(tmp_path, model):
    paths = [picture(tmp_path / "a.png"), picture(tmp_path / "b.jpg")]
    assert posed(tmp_path, "detect", *paths, "--model", model, "--output", tmp_path / "out").returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


def test_drawn_pictures_of_one_name_do_not_overwrite_each_other(tmp_path, model):
    paths = [picture(tmp_path / "a.png"), picture(tmp_path / "a.jpg")]
    assert posed(tmp_path, "detect", *paths, "--model", model, "--output", tmp_path / "out").returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["1-a.png", "2-a.png"]


def test_several_pictures_are_not_drawn_into_one_file(tmp_path, model):
    path, out = picture(tmp_path / "a.png"), tmp_path / "out.png"
    done = posed(tmp_path, "detect", path, path, "--model", model, "--output", out)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr == f"{out}: must be a folder for several pictures, got the name of a file\n"


@pytest.mark.parametrize(
    "words",
    [
        "detect {picture} --model {model} --json",
        "detect {picture} --model {model}",
        "model info {model}",
        "model list",
    ],
)
def test_an_output_that_cannot_be_written_is_one_line(tmp_path, model, words):
    words = words.format(picture=picture(tmp_path / "a.png"), model=model)
    command = [sys.executable, "-m", "posed", *words.split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 4
    assert complaints(done.stderr) == "standard output: cannot be written (No space left on device)\n"


def test_a_reader_that_has_enough_ends_detect_without_a_word(tmp_path, model):
    paths = [picture(tmp_path / "a.png")] * 20
    command = [sys.executable, "-m", "posed", "detect", *paths, "--model", model, "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert complaints(process.stderr.read()) == ""


def test_a_name_that_is_no_text_does_not_stop_detect(tmp_path, model):
    path = picture(tmp_path / "a.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    done = posed(tmp_path, "detect", path, "--model", model, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["image"].endswith("/\ufffd.png")
    strict = {"PYTHONIOENCODING": "utf-8:strict"}  # as in most locales
    done = posed(tmp_path, "detect", path, "--model", model, more=strict)
    assert (done.returncode, "/\\udcff.png: " in done.stdout) == (0, True)


def test_detect_refuses_to_draw_into_what_is_no_picture_format(tmp_path, model):
    path = picture(tmp_path / "a.png")
    done = posed(tmp_path, "detect", path, "--model", model, "--output", tmp_path / "out.xyz")
    assert done.returncode == 4
    assert "must end in a picture format" in done.stderr


PNG = cv2.imencode(".png", np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize("content", [b"", b"no picture", PNG[:5000], None])
def test_an_unreadable_picture_is_one_line_and_the_others_follow(tmp_path, model, content):
    bad = tmp_path / "bad.png"
    if content is not None:
        bad.write_bytes(content)
    good = picture(tmp_path / "good.png")
    done = posed(tmp_path, "detect", bad, good, "--model", model, "--json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["image"] == str(good)
    (line,) = complaints(done.stderr).splitlines()
    assert line.startswith(f"{bad}: ")


@pytest.mark.parametrize(
    "shape", [(1, 1, 3), (3000, 4000, 3), (98, 130), (98, 130, 4)], ids=["1x1", "12MP", "grey", "RGBA"]
)
def test_pictures_of_every_kind_are_taken(tmp_path, model, shape):
    path = tmp_path / "1.png"
    cv2.imwrite(str(path), np.full(shape, 255, np.uint8))
    done = posed(tmp_path, "detect", path, "--model", model, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frame"] == {"width": shape[1], "height": shape[0]}


def test_info_says_what_a_model_holds(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(make_tflite(decoder={"nms_radius": 10.0, "stride": 16}))
    done = posed(tmp_path, "model", "info", path)
    assert done.returncode == 0
    for fact in ("49×65 px, uint8", "16 px", "17 channels", "logits", "nms_radius 10", "Edge TPU  no"):
        assert fact in done.stdout


def test_info_shows_brackets_of_a_card_as_they_are(tmp_path):
    (tmp_path / "m.tflite").write_bytes(make_tflite(decoder={"": 1.0, "a[/b]": 2.0}))
    (tmp_path / "card.json").write_text('{"all": {"trained on": "pictures of [/b] and [red]x.json"}}')
    done = posed(tmp_path, "model", "info", tmp_path / "m.tflite")
    assert (done.returncode, done.stderr) == (0, "")
    assert "pictures of [/b] and [red]x.json" in done.stdout
    assert "a[/b] 2" in done.stdout


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "must be a whole .tflite, got 0 bytes"),
        (b"PK\x03\x04" * 100, "must be a whole .tflite, got 400 bytes"),
        (None, "no such file"),
    ],
)
def test_info_refuses_what_is_no_model_in_one_line(tmp_path, content, problem):
    path = tmp_path / "m.tflite"
    if content is not None:
        path.write_bytes(content)
    done = posed(tmp_path, "model", "info", path)
    assert done.returncode == 3
    assert problem in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("shape", "name"), [(SINGLE, "MoveNet single-pose (Thunder)"), (MULTI, "MoveNet MultiPose")]
)
def test_info_says_which_movenet_a_file_holds(tmp_path, shape, name):
    path = tmp_path / "m.tflite"
    path.write_bytes(make_movenet(shape, size=(256, 256)))
    done = posed(tmp_path, "model", "info", path)
    assert (done.returncode, done.stderr) == (0, "")
    for fact in (name, "256×256 px, uint8", "4 px", "padding", "17 × (y, x, score), float32"):
        assert fact in done.stdout


def test_info_says_that_any_size_will_do(tmp_path):
    (tmp_path / "m.tflite").write_bytes(make_movenet(MULTI, size=None))
    done = posed(tmp_path, "model", "info", tmp_path / "m.tflite")
    assert "any size, 256×256 px by default (model.input_size), uint8" in " ".join(done.stdout.split())


def test_detect_leaves_a_movenet_of_another_kind(tmp_path):
    path, picture = tmp_path / "m.tflite", tmp_path / "red.png"
    path.write_bytes(make_movenet((1, 17, 3)))
    cv2.imwrite(str(picture), np.full((64, 64, 3), (0, 0, 255), np.uint8))
    done = posed(tmp_path, "detect", picture, "--model", path)
    assert (done.returncode, done.stderr) == (
        3,
        f"{path}: a MoveNet of a kind posed does not know (1×17×3)\n",
    )


@pytest.mark.parametrize(("shape", "threshold"), [(SINGLE, 0.25), (MULTI, 0.1)])
def test_detect_shows_keypoints_by_the_networks_own_threshold(tmp_path, shape, threshold):
    path, picture = tmp_path / "m.tflite", tmp_path / "red.png"
    cv2.imwrite(str(picture), np.full((64, 64, 3), (0, 0, 255), np.uint8))
    values = make_values(shape, nose=threshold - 0.01 - SEEN, left_eye=threshold + 0.01 - SEEN)
    path.write_bytes(make_movenet(shape, values))
    [person] = json.loads(posed(tmp_path, "detect", picture, "--model", path, "--json").stdout)["people"]
    assert person["keypoints"]["nose"] is None
    assert person["keypoints"]["left_eye"]["score"] == pytest.approx(threshold + 0.01, abs=1e-3)


def make_values(shape: tuple[int, ...], **scores: float) -> np.ndarray:
    """Somebody upright, with other scores of some keypoints while nothing is red."""
    someone = drawn(UPRIGHT, 0.0)
    for name, score in scores.items():
        someone[KEYPOINTS.index(name), 2] = score
    return someone if shape == SINGLE else multi_values((someone, 0.0))


def rows_of(listed: str) -> dict[str, list[str]]:
    """The cells of each row by the first of them."""
    return {line.split()[0]: re.split(" {2,}", line.strip())[1:] for line in listed.splitlines() if line}


def test_list_has_a_row_for_every_model(tmp_path):
    done = posed(tmp_path, "model", "list")
    assert done.returncode == 0
    rows = rows_of(done.stdout)
    assert rows["coral-481x641"] == ["481×641", "16", "not here", "not here", "3.2"]
    assert rows["coral-721x1281"][-1] == "?"
    assert {entry.name for entry in CATALOGUE} <= set(rows)
    assert "Apache-2.0" in done.stdout


@pytest.mark.parametrize("words", ["model list", "model info drawings-257x353-16", "doctor"])
def test_what_people_read_fits_80_columns(tmp_path, words):
    done = posed(tmp_path, *words.split(), more={"POSED_CAMERAS__CAMERA__KIND": "synthetic"})
    table = [line for line in done.stdout.splitlines() if not line.startswith(("/", "source", "downloads"))]
    assert len(table) > 10
    assert max(map(len, table)) <= 80


def test_people_beside_each_other_fit_80_columns(tmp_path):
    options = ("--model", "drawings-257x353-16", "--threshold", "0.05")
    done = posed(tmp_path, "detect", ROOT / "docs/demo.jpg", *options)
    tables = [line for line in done.stdout.splitlines() if line.startswith(" ")]
    assert max(map(len, tables)) <= 80
    assert {len(re.findall("person", line)) for line in tables if "keypoint" in line} == {1, 2}


def test_info_shows_the_whole_checksum_of_a_known_file(tmp_path):
    shown = posed(tmp_path, "model", "info", "drawings-257x353-16").stdout
    assert "4a5c342a2c01c1be87e037bc65549435cf134b139ca849d681892b85e8516941" in "".join(shown.split())


def test_list_tells_whole_files_from_damaged_ones(tmp_path):
    name = "posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"
    path = tmp_path / "cache" / "posed" / "models" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"cut short")
    rows = rows_of(posed(tmp_path, "model", "list").stdout)
    assert rows["coral-353x481"][2:4] == ["damaged", "not here"]
    assert rows["drawings-257x353-16"][2:4] == ["here", "-"]


def test_a_download_damaged_since_says_how_to_get_it_again(tmp_path):
    path = tmp_path / "cache/posed/models/posenet_mobilenet_v1_075_353_481_16_quant_decoder.tflite"
    path.parent.mkdir(parents=True)
    path.write_bytes(make_tflite()[:1000])
    done = posed(tmp_path, "model", "info", "coral-353x481")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert done.stderr.endswith("; get it again with: posed model pull coral-353x481\n")


def test_list_names_the_weights_for_export(tmp_path):
    rows = rows_of(posed(tmp_path, "model", "list").stdout)
    assert rows["tfjs-quant2-075"] == ["0.75", "yes"]
    assert rows["tfjs-quant2-100"] == ["1.00", "says where they are"]


def test_pulling_weights_without_known_checksums_says_where_they_are(tmp_path):
    done = posed(tmp_path, "model", "pull", "tfjs-float-100")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "download https://" in done.stderr
    assert f"into {tmp_path}/cache/posed/models/tfjs-float-100 by hand" in done.stderr


def test_pulling_an_unknown_model_names_the_known(tmp_path):
    done = posed(tmp_path, "model", "pull", "coral-353")
    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "coral-353x481" in done.stderr


def google_poses(path: Path) -> list[tuple[float, np.ndarray, np.ndarray]]:
    """(pose score, (17, 2) fractions of the frame x first, keypoint scores) of each pose in a CSV."""
    rows = defaultdict(list)
    with path.open() as file:
        for row in csv.DictReader(file):
            rows[row["pose_id"]].append(row)
    return [
        (
            float(pose[0]["pose_score"]),
            np.array([[float(row["keypoint_x"]), float(row["keypoint_y"])] for row in pose]),
            np.array([float(row["keypoint_score"]) for row in pose]),
        )
        for pose in rows.values()
    ]


def assert_finds_what_google_found(message: dict[str, Any], reference: Path) -> None:
    """Keypoints that Google scores above 0.5 within 0.012 of the width, pose scores within 0.03."""
    width, height = message["frame"]["width"], message["frame"]["height"]
    expected = google_poses(reference)
    assert len(message["people"]) == len(expected) == 2
    for person, (score, fractions, scores) in zip(message["people"], expected, strict=True):
        assert person["score"] == pytest.approx(score, abs=0.03)
        for name, (x, y), keypoint_score in zip(KEYPOINTS, fractions, scores, strict=True):
            if keypoint_score > 0.5:
                found = person["keypoints"][name]
                distance = np.hypot(found["x"] - x * width, found["y"] - y * height)
                assert distance < 0.012 * width, name


@pytest.mark.parametrize("size", ["353_481", "481_641"])
def test_the_couple_is_found_as_by_google_on_the_cpu(tmp_path, shared, size):
    model = shared / "models" / f"posenet_mobilenet_v1_075_{size}_16_quant_decoder.tflite"
    couple = shared / "testdata" / "couple_640x480.bmp"
    done = posed(tmp_path, "detect", couple, "--model", model, "--json")
    assert_finds_what_google_found(
        json.loads(done.stdout), shared / "testdata" / f"couple_640x480.posenet_{size}_16.csv"
    )


@pytest.mark.parametrize("size", ["353_481", "481_641"])
def test_the_couple_is_found_as_by_google_through_the_delegate(tmp_path, shared, size):
    from posed.commands.detect import read_image
    from posed.config import EngineConfig
    from posed.engine import open_engine
    from posed.frame import Letterbox
    from posed.model.tflite import read_model
    from posed.networks.posenet import PoseNet

    stem = f"posenet_mobilenet_v1_075_{size}_16_quant_decoder"
    network = PoseNet.of(read_model(shared / "models" / f"{stem}.tflite"))
    couple = shared / "testdata" / "couple_640x480.bmp"
    with open_engine(EngineConfig(kind="cpu"), network.model, None) as engine:
        image = Letterbox((640, 480), network.model.size).apply(read_image(couple))
        heads = network.heads(engine.infer(image))
    handed = write_heads(tmp_path / "heads", heads)
    log = tmp_path / "standin.log"
    compiled = shared / "models" / f"{stem}_edgetpu.tflite"
    more = built().environment(Behaviour(heads=handed, log=log))
    done = posed(tmp_path, "detect", couple, "--model", compiled, "--json", more=more)
    assert "invoke" in log.read_text()
    assert_finds_what_google_found(
        json.loads(done.stdout), shared / "testdata" / f"couple_640x480.posenet_{size}_16_edgetpu.csv"
    )


@pytest.mark.parametrize("name", ["075_353_481_16", "075_353_481_8", "100_257_257_32"])
def test_the_float_models_find_the_same_two_people(tmp_path, shared, name):
    model = shared / "models" / "float" / f"posenet_mobilenet_v1_{name}_float.tflite"
    couple = shared / "testdata" / "couple_640x480.bmp"
    done = posed(tmp_path, "detect", couple, "--model", model, "--json")
    people = json.loads(done.stdout)["people"]
    assert len(people) == 2
    reference = google_poses(shared / "testdata" / "couple_640x480.posenet_481_641_16.csv")
    # What stride 32 tells apart at a fifth of the pixels: shoulders and arms, one person each.
    for part in ("left_shoulder", "right_shoulder", "left_elbow", "left_wrist"):
        expected = sorted(points[KEYPOINTS.index(part)][0] * 640 for _, points, _ in reference)
        found = sorted(person["keypoints"][part]["x"] for person in people)
        assert found == pytest.approx(expected, abs=20), part
