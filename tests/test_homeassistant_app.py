"""The app of Home Assistant: what the Supervisor reads of it, and what becomes of its options."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import cv2
import jsonschema
import pytest
import yaml

from posed import __version__
from posed.commands.app.broker import Broker
from posed.commands.app.options import (
    SUPERVISOR,
    AppOptions,
    BrokerOptions,
    CameraOptions,
    names_broker,
    read_options,
    read_own,
)
from posed.commands.app.options import settings_of as config_of
from posed.config import Config, WebConfig, load
from posed.errors import ConfigError
from posed.model.catalogue import CATALOGUE
from scripts.paths import ROOT
from tests.configs import write

APP: Final = ROOT / "config" / "homeassistant" / "app"
SCHEMA: Final = "tools/homeassistant_app/config.schema.json"

TYPES: Final = re.compile(
    r"(str|bool|email|url|port|password|int|float|device|match\(.*\)|list\([^()]+\))(\([0-9.,-]*\))?\??"
)
"""Of options. Source: supervisor/apps/options.py, RE_SCHEMA_ELEMENT."""

HALL: Final = {"name": "hall", "url": "rtsp://192.0.2.20/stream", "username": "viewer", "password": "p@:/"}
DESK: Final = {"name": "desk", "usb": "/dev/v4l/by-id/usb-cam-index0"}
MOSQUITTO: Final = Broker("core-mosquitto", 1883, "addons", "secret")


def read(name: str) -> dict[str, Any]:
    tree = yaml.safe_load((APP / name).read_text(encoding="utf-8"))
    assert isinstance(tree, dict)
    return tree


@pytest.fixture(scope="module")
def app() -> dict[str, Any]:
    return read("config.yaml")


# What the Supervisor reads


@pytest.mark.shared
def test_the_linters_schema_finds_nothing(app, shared):
    schema = json.loads((shared / SCHEMA).read_text(encoding="utf-8"))
    found = [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(app)]
    # Its own rule, in src/lint.py: a default is not written down.
    found += [
        f"{name} is a default"
        for name, rule in schema["properties"].items()
        if "default" in rule and app.get(name) == rule["default"]
    ]
    assert not found


def test_the_version_is_ours(app):
    assert app["version"] == __version__


def test_it_is_built_where_it_is_installed(app):
    """Without an image of a registry; build.yaml is out of use since Supervisor 2026.04.0."""
    assert "image" not in app
    assert not list(APP.glob("build.*"))
    assert app["arch"] == ["aarch64", "amd64"]


def test_it_has_no_more_rights_than_it_needs(app):
    assert not {
        "full_access",
        "privileged",
        "host_network",
        "hassio_api",
        "homeassistant_api",
        "docker_api",
    } & {*app}
    assert not {"apparmor", "ports", "hassio_role", "udev", "host_dbus"} & {*app}


def test_devices_brokers_and_folders_are_asked_for(app):
    assert (app["usb"], app["video"], app["devices"]) == (True, True, ["/dev/apex_0"])
    assert app["services"] == ["mqtt:want"]
    # supervisor/apps/validate.py, RE_VOLUME; the linter refuses the newer `app_config`.
    assert app["map"] == ["addon_config:rw"]


def test_ingress_finds_the_live_view(app):
    web = config_of(options(cameras=[DESK]), {}, MOSQUITTO)["web"]
    assert app["ingress"] is True
    assert app["ingress_port"] == web["port"] == WebConfig().port


def test_option_types_are_those_of_the_supervisor(app):
    assert all(TYPES.fullmatch(kind) for _, kind in leaves(app["schema"]))


def test_the_defaults_pass_their_own_schema(app):
    assert supervised(app["schema"], app["options"]) == app["options"]
    # YAML calls a bare `off` false.
    assert app["options"]["pictures"] == "off"


def test_a_section_without_a_default_would_be_missing(app):
    without = {name: value for name, value in app["options"].items() if name != "mqtt"}
    with pytest.raises(LookupError, match="mqtt"):
        supervised(app["schema"], without)


def test_what_may_be_left_out_has_no_default(app):
    """A default makes an option one that must be there. Source: developers.home-assistant.io, options."""
    optional = {path for path, kind in leaves(app["schema"]) if kind.endswith("?")}
    assert not optional & {(name,) for name in app["options"]}


def test_the_options_are_those_that_are_read(app):
    assert {*app["schema"]} == {*AppOptions.model_fields}
    assert {*app["schema"]["cameras"][0]} == {*CameraOptions.model_fields}
    assert {*app["schema"]["mqtt"]} == {*BrokerOptions.model_fields}


@pytest.mark.parametrize(
    ("option", "where"),
    [("pictures", "privacy.pictures"), ("engine", "engine.kind"), ("log_level", "log.level")],
)
def test_a_choice_offers_what_the_setting_takes(app, option, where):
    section, name = where.split(".")
    offered = re.fullmatch(r"list\((.*)\)\??", app["schema"][option])[1].split("|")
    for value in offered:
        Config(**{section: {name: value}})
    with pytest.raises(ValueError, match=f"{name}"):
        Config(**{section: {name: "other"}})
    expected = str(Config.model_fields[section].annotation.model_fields[name].annotation)
    assert all(f"'{value}'" in expected for value in offered)
    assert expected.count("'") == 2 * len(offered)


def test_the_models_are_those_that_can_be_downloaded(app):
    offered = re.fullmatch(r"list\((.*)\)\?", app["schema"]["model"])[1].split("|")
    assert offered == [entry.name for entry in CATALOGUE if entry.is_published]


def test_every_option_has_its_words(app):
    words = {path for path, _ in named(read("translations/en.yaml")["configuration"])}
    assert words == {path for path, _ in leaves(app["schema"])} | {("cameras",), ("mqtt",)}
    assert all(
        one["name"] and one["description"] for _, one in named(read("translations/en.yaml")["configuration"])
    )


def test_the_documentation_names_every_option(app):
    documentation = (APP / "DOCS.md").read_text(encoding="utf-8")
    assert [path for path, _ in leaves(app["schema"]) if f"`{path[-1]}`" not in documentation] == []


def test_pictures_have_the_sizes_that_are_asked_for():
    """Source: developers.home-assistant.io, "Presenting your app"."""
    shapes = {
        name: cv2.imread(str(APP / name), cv2.IMREAD_UNCHANGED).shape for name in ("icon.png", "logo.png")
    }
    assert shapes == {"icon.png": (128, 128, 4), "logo.png": (100, 250, 4)}


def test_the_repository_has_a_name():
    """Source: supervisor/store/validate.py, SCHEMA_REPOSITORY_CONFIG."""
    repository = yaml.safe_load((ROOT / "repository.yaml").read_text(encoding="utf-8"))
    assert isinstance(repository["name"], str)
    assert {*repository} <= {"name", "url", "maintainer"}


def test_the_supervisor_finds_one_app_here():
    """It looks for config.* everywhere. Source: supervisor/store/data.py, _find_addons."""
    found = [
        file.relative_to(ROOT) for kind in ("json", "yaml", "yml") for file in ROOT.rglob(f"config.{kind}")
    ]
    ours = [
        file for file in found if not (file.parts[0] in {"build", "dist"} or file.parts[0].startswith("."))
    ]
    assert ours == [Path("config/homeassistant/app/config.yaml")]


def test_the_image_runs_the_app_and_tells_how_it_does():
    dockerfile = (APP / "Dockerfile").read_text(encoding="utf-8")
    assert re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) == ["debian:trixie-slim"] * 2
    assert 'ENTRYPOINT ["posed", "app"]' in dockerfile
    assert re.search(r'^HEALTHCHECK .* CMD \["posed", "health"\]$', dockerfile, re.MULTILINE)
    assert "STATE_DIRECTORY=/data" in dockerfile


def test_both_images_install_libedgetpu_in_the_same_way():
    ours, theirs = (
        re.findall(r"(?ms)^# For a Coral: .*?&& rm -r \S+$", file.read_text(encoding="utf-8"))
        for file in (APP / "Dockerfile", ROOT / "config" / "container" / "Dockerfile")
    )
    assert len(ours) == 1
    assert ours == [block.replace("COPY config/container/", "COPY ") for block in theirs]


def test_the_image_has_no_package_that_the_container_lacks():
    ours, theirs = (
        set(
            re.findall(
                r"--no-install-recommends\s+([a-z].*?) &&",
                dockerfile.read_text(encoding="utf-8").replace("\\\n", ""),
            )[-1].split()
        )
        for dockerfile in (APP / "Dockerfile", ROOT / "config" / "container" / "Dockerfile")
    )
    assert ours
    assert ours <= theirs


# The folder that is copied


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("app"))


def build(where: Path) -> Path:
    done = subprocess.run([ROOT / "scripts" / "build_app", where], capture_output=True, text=True, check=True)
    assert "copy it to /addons" in done.stderr
    return Path(done.stdout.strip())


def test_the_folder_has_all_that_the_image_is_built_of(folder):
    copied = re.findall(
        r"^(?:COPY|ADD) (?!--from)(\S+) ", (folder / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert copied
    assert all(list(folder.glob(name)) for name in copied)
    assert {"config.yaml", "DOCS.md", "README.md", "CHANGELOG.md", "icon.png", "logo.png"} <= {
        file.name for file in folder.iterdir()
    }
    assert (folder / "CHANGELOG.md").read_bytes() == (ROOT / "CHANGELOG.md").read_bytes()


def test_the_folder_holds_sources_and_nothing_that_was_compiled(folder):
    with tarfile.open(folder / f"posed-{__version__}.tar.gz") as packed:
        names = {name.removeprefix(f"posed-{__version__}/") for name in packed.getnames()}
        owners = {(member.uid, member.gid) for member in packed.getmembers()}
    assert {
        "pyproject.toml",
        "setup.py",
        "posed/networks/posenet/many.py",
        "posed/web/static/app.js",
    } <= names
    assert "scripts/tidy_venv" in names
    assert not [name for name in names if name.endswith((".so", ".pyc")) or "__pycache__" in name]
    assert owners == {(0, 0)}


def test_the_same_sources_make_the_same_folder(folder, tmp_path):
    name = f"posed-{__version__}.tar.gz"
    assert (build(tmp_path) / name).read_bytes() == (folder / name).read_bytes()


def test_a_folder_that_is_something_else_is_left_alone(tmp_path):
    (tmp_path / "posed").mkdir()
    (tmp_path / "posed" / "mine").touch()
    done = subprocess.run(
        [ROOT / "scripts" / "build_app", tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "there is something else already" in done.stderr) == (1, True)
    assert (tmp_path / "posed" / "mine").exists()


def test_an_app_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "posed").mkdir()
    (tmp_path / "posed" / "config.yaml").write_text("name: mine\nslug: posed_of_mine\n")
    done = subprocess.run(
        [ROOT / "scripts" / "build_app", tmp_path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (1, f"{tmp_path / 'posed'}: there is something else already\n")
    assert [file.name for file in (tmp_path / "posed").iterdir()] == ["config.yaml"]


def test_what_it_wrote_before_is_replaced(tmp_path):
    (build(tmp_path) / "old").touch()
    assert not (build(tmp_path) / "old").exists()


def test_the_folder_is_where_the_caller_stands(tmp_path):
    done = subprocess.run(
        [ROOT / "scripts" / "build_app", "my apps"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == tmp_path / "my apps" / "posed"
    assert (tmp_path / "my apps" / "posed" / "config.yaml").exists()


# From options to a configuration


def options(**given: Any) -> AppOptions:
    return AppOptions.model_validate(
        {"device": "posed", "cameras": [], "pictures": "off", "mqtt": {}} | given
    )


def loaded(folder: Path, chosen: AppOptions, file: Mapping[str, Any] | None = None) -> Config:
    """The configuration that a daemon would read."""
    broker = None if chosen.mqtt.host else MOSQUITTO
    made = write(folder, yaml.safe_dump(config_of(chosen, file or {}, broker), sort_keys=False), "made.yaml")
    return load(made, {})


def problems(folder: Path, **given: Any) -> list[str]:
    tree = {"device": "posed", "cameras": [DESK], "pictures": "off", "mqtt": {}} | given
    path = write(folder, json.dumps(tree), "options.json")
    with pytest.raises(ConfigError) as raised:
        read_options(path)
    return list(raised.value.problems)


def test_cameras_are_urls_and_devices(tmp_path):
    config = loaded(tmp_path, options(cameras=[HALL, DESK]))
    hall, desk = config.cameras.values()
    assert (hall.kind, hall.source, hall.username) == ("video", HALL["url"], "viewer")
    assert hall.password.get_secret_value() == "p@:/"
    assert (desk.kind, desk.source, desk.username) == ("video", DESK["usb"], None)


def test_each_option_has_its_setting(tmp_path):
    chosen = options(
        device="home",
        cameras=[DESK],
        pictures="blurred",
        model="coral-481x641",
        engine="cpu",
        log_level="debug",
    )
    config = loaded(tmp_path, chosen)
    assert (config.device, config.privacy.pictures, config.model.name) == ("home", "blurred", "coral-481x641")
    assert (config.engine.kind, config.log.level) == ("cpu", "debug")


def test_what_is_left_out_is_as_posed_has_it(tmp_path):
    config = loaded(tmp_path, options(cameras=[DESK]))
    assert (config.model.name, config.engine, config.log) == (
        Config().model.name,
        Config().engine,
        Config().log,
    )


def test_the_model_is_downloaded(tmp_path):
    assert loaded(tmp_path, options(cameras=[DESK])).model.pull


def test_a_field_that_was_emptied_is_left_out(tmp_path):
    chosen = options(
        cameras=[DESK | {"url": "", "username": ""}], model="", mqtt={"host": "", "password": ""}
    )
    config = loaded(tmp_path, chosen)
    assert config.cameras["desk"].source == DESK["usb"]
    assert config.mqtt.host == MOSQUITTO.host


def test_the_broker_is_the_one_that_home_assistant_knows(tmp_path):
    mqtt = loaded(tmp_path, options(cameras=[DESK])).mqtt
    assert (mqtt.host, mqtt.port, mqtt.username) == ("core-mosquitto", 1883, "addons")
    assert mqtt.password.get_secret_value() == "secret"
    assert mqtt.tls is None


def test_a_broker_with_tls_is_verified():
    assert Broker("broker", 8883, ssl=True).settings() == {"host": "broker", "port": 8883, "tls": {}}


def test_the_password_of_the_broker_is_not_shown():
    assert "secret" not in repr(MOSQUITTO)


def test_another_broker_goes_before_it(tmp_path):
    mqtt = loaded(
        tmp_path, options(cameras=[DESK], mqtt={"host": "nas", "username": "posed", "password": "x"})
    ).mqtt
    assert (mqtt.host, mqtt.port, mqtt.username) == ("nas", 1883, "posed")


def test_ingress_alone_reaches_the_live_view(tmp_path):
    web = loaded(tmp_path, options(cameras=[DESK])).web
    assert (web.enabled, web.host, web.token, web.trusted_proxy) == (True, "0.0.0.0", None, SUPERVISOR)


def test_the_owners_file_goes_before_the_options(tmp_path):
    file = {"privacy": {"pictures": "full"}, "cameras": {"desk": {"rotate": 180}}, "mqtt": {"topic": "home"}}
    config = loaded(tmp_path, options(cameras=[DESK]), file)
    assert config.privacy.pictures == "full"
    assert (config.cameras["desk"].rotate, config.cameras["desk"].source) == (180, DESK["usb"])
    assert (config.mqtt.topic, config.mqtt.host) == ("home", MOSQUITTO.host)


def test_the_owners_file_may_name_cameras_alone(tmp_path):
    config = loaded(tmp_path, options(), {"cameras": {"hall": {"kind": "synthetic"}}})
    assert {*config.cameras} == {"hall"}


def test_a_broker_in_the_owners_file_is_whole():
    chosen = options(cameras=[DESK], mqtt={"host": "nas", "username": "posed", "password": "x"})
    assert config_of(chosen, {"mqtt": {"host": "other"}}, None)["mqtt"] == {"host": "other"}


@pytest.mark.parametrize(
    "text",
    [
        "mqtt:\ncameras:",
        "cameras: {desk: }",
        "cameras: {desk: {source: , people: }}",
        "mqtt: {host: , port: }",
    ],
)
def test_what_has_no_value_in_the_owners_file_changes_nothing(tmp_path, text):
    own = read_own(write(tmp_path, text, "posed.yaml"))
    assert not names_broker(own)
    assert loaded(tmp_path, options(cameras=[DESK]), own) == loaded(tmp_path, options(cameras=[DESK]))


@pytest.mark.parametrize("text", ["camera: {kind: video, source: /dev/video0}", "camera:"])
def test_a_camera_section_of_the_owners_file_is_told(tmp_path, text):
    with pytest.raises(
        ConfigError, match=r"^posed.yaml: camera: cameras have names now, write cameras: {cam"
    ):
        read_own(write(tmp_path, text, "posed.yaml"))


@pytest.mark.parametrize("name", ["enabled", "host", "port", "trusted_proxy"])
def test_what_ingress_needs_is_the_apps_own(name):
    with pytest.raises(ConfigError) as raised:
        config_of(options(cameras=[DESK]), {"web": {name: 1}}, MOSQUITTO)
    assert str(raised.value) == f"posed.yaml: web.{name}: must not be there: it is the app's own, for ingress"


def test_the_rest_of_the_live_view_may_be_set(tmp_path):
    assert loaded(tmp_path, options(cameras=[DESK]), {"web": {"timeline_days": 3}}).web.timeline_days == 3


def test_without_a_camera_there_is_a_line():
    with pytest.raises(ConfigError) as raised:
        config_of(options(), {}, MOSQUITTO)
    assert raised.value.problems == ("cameras: must be at least one, got none: add one to the app's options",)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"cameras": [{"name": "hall"}]},
            "cameras.hall.url: must be there, or usb in its place, got neither",
        ),
        (
            {"cameras": [DESK | {"url": "rtsp://x"}]},
            "cameras.desk.url: must be there, or usb in its place, got both",
        ),
        (
            {"cameras": [{"name": "hall", "url": "192.0.2.20"}]},
            "cameras.hall.url: must be a URL, such as rtsp://192.0.2.20/stream, got other text",
        ),
        (
            {"cameras": [{"name": "hall", "usb": "video0"}]},
            "cameras.hall.usb: must be a device, such as /dev/video0, got other text",
        ),
        ({"cameras": [{"url": "rtsp://x"}]}, "camera 1.name: must be there, got nothing"),
        ({"cameras": [DESK, {"name": ""}]}, "camera 2.name: must be there, got nothing"),
        ({"cameras": [DESK, 5]}, "camera 2: must be settings by their names, got something else"),
        ({"cameras": [DESK, DESK]}, "cameras: must have a name of its own each, got desk twice"),
        (
            {"cameras": [DESK | {"name": f"c{number}"} for number in range(17)]},
            "cameras: must be at most 16 cameras, got more",
        ),
        ({"cameras": {}}, "cameras: must be a list, got something else"),
        ({"mqtt": "nas"}, "mqtt: must be settings by their names, got something else"),
        ({"mqtt": {"port": 1884}}, "mqtt.host: needed beside mqtt.port, got nothing"),
        ({"pictures": "some"}, "pictures: must be off, skeleton, blurred or full, got 'some'"),
    ],
)
def test_an_option_that_is_wrong_has_a_line(tmp_path, given, problem):
    assert problems(tmp_path, **given) == [f"options.{problem}"]


def test_every_wrong_option_is_told_at_once(tmp_path):
    assert len(problems(tmp_path, pictures="some", cameras=[{"name": "A b", "usb": "/dev/video0"}])) == 2


def test_no_password_is_in_a_line(tmp_path):
    said = problems(tmp_path, cameras=[{"name": "hall", "url": "me:hunter2@cam", "password": 1234567}])
    assert "hunter2" not in "".join(said)
    assert "1234567" not in "".join(said)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "{}: must be JSON"),
        ("{", "{}: must be JSON"),
        ("[]", "options: must be settings by their names, "),
    ],
)
def test_a_file_without_options_is_refused(tmp_path, text, problem):
    path = write(tmp_path, text, "options.json")
    with pytest.raises(ConfigError, match=re.escape(problem.format(path))):
        read_options(path)


def test_a_missing_file_of_options_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"options.json: must be readable \(No such file or directory\)$"):
        read_options(tmp_path / "options.json")


# The Supervisor's rules, of supervisor/apps/options.py: _check_missing_options and the nested types


def leaves(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every option with its type; in lists and sections, too."""
    for name, kind in schema.items():
        inner = kind[0] if isinstance(kind, list) else kind
        if isinstance(inner, dict):
            yield from leaves(inner, (*path, name))
        else:
            yield (*path, name), inner


def named(words: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every option that has words. Source: supervisor/apps/validate.py, SCHEMA_TRANSLATION_CONFIGURATION."""
    for name, one in words.items():
        yield (*path, name), one
        yield from named(one.get("fields", {}), (*path, name))


def supervised(schema: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Options as the Supervisor lets them through.

    Raises:
        LookupError: one that must be there is missing.
    """
    for name, kind in schema.items():
        inner = kind[0] if isinstance(kind, list) else kind
        if name not in given and not (isinstance(inner, str) and inner.endswith("?")):
            raise LookupError(f"Missing option {name}")
    return {
        name: supervised(schema[name], value) if isinstance(schema[name], dict) else value
        for name, value in given.items()
        if name in schema
    }
