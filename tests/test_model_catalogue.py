"""The catalogue: what is known by name, and which files a name or path leads to."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from posed.commands.report import pull_with_progress
from posed.errors import ModelError
from posed.model import catalogue
from posed.model.catalogue import (
    BUNDLED_FOLDER,
    CATALOGUE,
    WEIGHTS,
    Entry,
    ModelFiles,
    find,
    locate,
    locate_weights,
    models_folder,
    unknown,
)
from posed.model.tflite import parse_model
from posed.networks import INPUT_SIZE, network_of, pair
from posed.networks.pair import load_pair

FILES = [file for known in (*CATALOGUE, *WEIGHTS) for file in known.files]
PUBLISHED = [file for file in FILES if file.url]
BUNDLED = [file for file in FILES if not file.url]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment whose cache is a folder of the test."""
    return {"XDG_CACHE_HOME": str(tmp_path / "cache")}


@pytest.fixture
def entry() -> Entry:
    found = find("coral-353x481")
    assert found is not None
    return found


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def refusal(name: str, environment: dict[str, str]) -> str:
    with pytest.raises(ModelError) as caught:
        locate(name, environment)
    return str(caught.value)


def test_a_known_name_has_its_stride_size_and_licence(entry: Entry) -> None:
    assert (entry.stride, entry.size, entry.licence) == (16, (481, 353), "Apache-2.0")


def test_an_unknown_name_is_not_found() -> None:
    assert find("coral-1x1") is None


def test_names_and_files_are_each_there_once() -> None:
    files = [file for entry in CATALOGUE for file in entry.files]
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE)
    assert len({file.name for file in files}) == len({file.sha256 for file in files}) == len(files)


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda entry: entry.name)
def test_sides_fit_the_stride(entry: Entry) -> None:
    # A PoseNet has a cell on its last pixel.
    last = 0 if entry.name.startswith("movenet") else 1
    assert all((side - last) % entry.stride == 0 for side in entry.size or ())


@pytest.mark.parametrize("file", PUBLISHED, ids=lambda f: f.name)
def test_a_published_file_has_a_url_and_a_sha256(file) -> None:
    assert re.fullmatch(
        rf"https://((github|storage\.googleapis)\.com/\S+/{re.escape(file.name)}|tfhub\.dev/\S+)", file.url
    )
    assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)


@pytest.mark.parametrize("file", BUNDLED, ids=lambda f: f.name)
def test_a_bundled_file_is_the_one_in_the_catalogue(file) -> None:
    content = file.path().read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size_bytes, file.sha256)


@pytest.mark.parametrize("entry", [e for e in CATALOGUE if e.source == "posed"], ids=lambda entry: entry.name)
def test_a_bundled_model_is_what_the_catalogue_says(entry: Entry) -> None:
    pair = load_pair(entry.name)
    assert (pair.model.size, pair.network.stride, pair.entry) == (entry.size, entry.stride, entry)


@pytest.mark.parametrize(
    "entry", [e for e in CATALOGUE if e.name.startswith("movenet")], ids=lambda e: e.name
)
def test_a_movenet_is_what_the_catalogue_says(entry: Entry, shared: Path) -> None:
    for file in entry.files:
        content = (shared / "other_models" / "movenet" / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size_bytes, file.sha256)
        network = network_of(parse_model(content, Path(file.name)), INPUT_SIZE)
        assert network.stride == entry.stride
        assert entry.size in (network.model.size, None)


def test_what_comes_with_posed_is_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLED_FOLDER.iterdir()) <= 3_000_000


def test_weights_are_there_once_for_every_network_and_precision() -> None:
    assert len({(one.multiplier, one.precision) for one in WEIGHTS}) == len(WEIGHTS) == 9
    assert len({one.name for one in WEIGHTS}) == len(WEIGHTS)


def test_known_weights_are_those_that_are_published(shared: Path) -> None:
    (one,) = (weights for weights in WEIGHTS if weights.files)
    for file in one.files:
        content = (shared / "models" / "tfjs-quant2-075-stride16" / file.name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256


def test_a_missing_bundled_model_is_not_to_be_pulled(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "BUNDLED_FOLDER", tmp_path)
    missing = f"model drawings-257x353-16: not in {tmp_path}; install posed again"
    assert refusal("drawings-257x353-16", environment) == missing
    with pytest.raises(ModelError, match="install posed again"):
        pull_with_progress("drawings-257x353-16")
    monkeypatch.setattr(pair, "pull_entry", lambda name: pytest.fail(f"{name} was to be downloaded"))
    with pytest.raises(ModelError, match="install posed again"):
        load_pair("drawings-257x353-16", pull_missing=True)
    (tmp_path / "drawings_257_353_16.tflite").write_bytes(b"cut short")
    with pytest.raises(ModelError, match=r"must be a whole .tflite, .*; install posed again"):
        load_pair("drawings-257x353-16", pull_missing=True)


def test_weights_are_found_by_name_where_they_were_downloaded(environment: dict[str, str]) -> None:
    folder = models_folder(environment) / "tfjs-quant2-075"
    with pytest.raises(ModelError) as caught:
        locate_weights("tfjs-quant2-075", environment)
    assert str(caught.value) == (
        f"weights tfjs-quant2-075: not in {folder}; get them with: posed model pull tfjs-quant2-075"
    )
    folder.mkdir(parents=True)
    assert locate_weights("tfjs-quant2-075", environment) == folder


def test_weights_without_checksums_are_put_there_by_hand(environment: dict[str, str]) -> None:
    with pytest.raises(ModelError, match=r"download https://\S+/float/100/\S+ and what it names into"):
        locate_weights("tfjs-float-100", environment)


def test_weights_are_no_model_but_say_what_they_are_for(environment: dict[str, str]) -> None:
    assert refusal("tfjs-float-100", environment) == (
        "model tfjs-float-100: are weights; make a model of them with: posed model export tfjs-float-100"
    )
    assert "did you mean tfjs-quant2-075 or " in str(unknown("tfjs-quant2-75"))


def test_other_weights_are_a_path(environment: dict[str, str], tmp_path: Path, monkeypatch) -> None:
    assert locate_weights("nowhere/weights", environment) == Path("nowhere/weights")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tfjs-quant2-075").mkdir()
    assert locate_weights("tfjs-quant2-075", environment) == Path("tfjs-quant2-075")


@pytest.mark.parametrize("entry", [e for e in CATALOGUE if e.edgetpu is not None], ids=lambda e: e.name)
def test_the_compiled_file_is_that_of_the_plain_one(entry: Entry) -> None:
    assert entry.cpu is not None
    assert entry.edgetpu is not None
    assert entry.edgetpu.name == entry.cpu.name.replace(".tflite", "_edgetpu.tflite")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["coral-353x481", "coral-481x641"])
def test_checksums_and_sizes_are_those_of_the_published_files(name: str, shared: Path) -> None:
    entry = find(name)
    assert entry is not None
    for file in entry.files:
        content = (shared / "models" / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size_bytes, file.sha256)


def test_an_unknown_name_is_answered_with_the_nearest_ones() -> None:
    assert str(unknown("coral-353x480")).startswith(
        "model coral-353x480: must be a known name or the path of a .tflite; did you mean coral-353x481"
    )


def test_a_name_near_to_none_is_answered_with_all() -> None:
    known = ", ".join(entry.name for entry in CATALOGUE)
    assert str(unknown("yolo")).endswith(f"; known: {known}")


def test_locating_an_unknown_name_says_so(environment: dict[str, str]) -> None:
    assert refusal("coral-353x480", environment) == str(unknown("coral-353x480"))


def test_a_dot_in_a_name_makes_no_path(environment: dict[str, str]) -> None:
    assert refusal("coral-0.75", environment) == str(unknown("coral-0.75"))


def test_a_known_model_is_located_in_the_cache(entry: Entry, environment: dict[str, str]) -> None:
    cpu, edgetpu = (touch(models_folder(environment) / file.name) for file in entry.files)
    assert locate(entry.name, environment) == ModelFiles(cpu, edgetpu)


@pytest.mark.parametrize("kind", ["cpu", "edgetpu"])
def test_half_a_pair_is_located_too(kind: str, entry: Entry, environment: dict[str, str]) -> None:
    path = touch(models_folder(environment) / getattr(entry, kind).name)
    files = locate(entry.name, environment)
    assert getattr(files, kind) == path
    assert (files.cpu is None) != (files.edgetpu is None)


def test_a_half_downloaded_model_is_not_located(entry: Entry, environment: dict[str, str]) -> None:
    touch(models_folder(environment) / f"{entry.files[0].name}.part")
    assert "posed model pull" in refusal(entry.name, environment)


def test_a_missing_known_model_says_how_to_get_it(environment: dict[str, str]) -> None:
    assert refusal("coral-353x481", environment) == (
        f"model coral-353x481: not in {environment['XDG_CACHE_HOME']}/posed/models; "
        "get it with: posed model pull coral-353x481"
    )


def test_the_service_finds_models_in_its_state_folder(tmp_path: Path) -> None:
    assert models_folder({"STATE_DIRECTORY": str(tmp_path)}) == tmp_path / "models"


@pytest.mark.parametrize("named", ["net.tflite", "net_edgetpu.tflite"])
def test_a_path_leads_to_both_files_whichever_is_named(named: str, tmp_path: Path) -> None:
    cpu, edgetpu = touch(tmp_path / "net.tflite"), touch(tmp_path / "net_edgetpu.tflite")
    assert locate(str(tmp_path / named), {}) == ModelFiles(cpu, edgetpu)


def test_a_plain_file_without_a_sibling_is_for_the_cpu(tmp_path: Path) -> None:
    path = touch(tmp_path / "net.tflite")
    assert locate(str(path), {}) == ModelFiles(path, None)


def test_a_compiled_file_alone_is_for_the_edge_tpu(tmp_path: Path) -> None:
    path = touch(tmp_path / "net_edgetpu.tflite")
    assert locate(str(path), {}) == ModelFiles(None, path)


@pytest.mark.parametrize("name", ["net.tflite", "nowhere/net"])
def test_a_path_to_nothing_says_so(name: str, environment: dict[str, str]) -> None:
    assert refusal(name, environment) == f"model {name}: no such file"


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    assert refusal(str(tmp_path), {}) == f"model {tmp_path}: must be a file, got a folder or device"


def test_a_path_the_system_refuses_is_one_line(environment: dict[str, str]) -> None:
    assert refusal("x" * 300, environment).endswith(": cannot be accessed: File name too long")
