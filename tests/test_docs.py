"""The documentation says nothing that is not so: commands are run or resolved, blocks loaded, links followed.

A block must say what it is behind its opening fence, and every kind has a check in `KINDS`; anything else
fails. What cannot be run here stands in `NOT_RUN` with the reason, and is still resolved.
"""

from __future__ import annotations

import ast
import configparser
import itertools
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, get_args

import cv2
import jsonschema
import numpy as np
import pytest
import yaml
from pydantic import BaseModel
from typer.testing import CliRunner

from posed import errors
from posed.cli import app
from posed.config import Config, TlsConfig, ZoneConfig, load
from posed.messages import schemas
from posed.messages.structs import VERBS
from posed.model.catalogue import BUNDLED_FOLDER
from posed.mqtt.homeassistant import announcements
from posed.people.events import EventType
from scripts import draw_docs
from scripts.paths import ROOT
from tests.brokers import ConfiguredMosquitto, Mosquitto, Subscriber, eventually
from tests.pages import (
    CONFIGS,
    PAGES,
    Block,
    all_blocks,
    anchors,
    commands,
    links,
    prose,
    spans,
    table,
)
from tests.run_posed import Daemon, environment, posed

README, MQTT, SERVICE = ROOT / "README.md", ROOT / "docs/mqtt.md", ROOT / "docs/service.md"
TROUBLES = ROOT / "docs/troubleshooting.md"

DRAWN = "drawings-257x353-16"
PI = {
    "device": "pi",
    "cameras": {"hall": {"kind": "synthetic", "fps": 5}, "bedroom": {"kind": "synthetic", "fps": 5}},
    "model": {"name": DRAWN},
}

NOT_RUN = {
    "posed run": "does not end by itself; `test_the_symptoms_are_real` and the daemon of the requests run it",
    "posed model pull": "needs the network; tests/test_model_pull.py has a server of its own",
    "posed model export": "needs TensorFlow and Google's weights; tests/system/test_export.py",
    "posed record": "needs a daemon; `test_a_recording_is_made_and_replayed` has one",
    "posed replay": "needs a recording; the same test runs it",
    "posed draw": "needs a video; tests/test_commands_draw.py draws one",
    "posed bench": "takes its seconds; the line with --json is run, and does the same",
}

MORE = {
    "posed setup": ["--yes", "--force", "--camera", "synthetic", "--model", DRAWN],
    "posed bench --json": ["--seconds", "3"],
}
"""What a command needs besides, where it would ask somebody or take its time."""

MAY_FAIL = {"posed doctor": {0, 1, 2}}
"""Exit statuses that are answers, not failures."""

OTHERS = {
    "apt-get",
    "cp",
    "journalctl",
    "mosquitto_passwd",
    "pip",
    "pip-audit",
    "python3",
    "ssh",
    "systemctl",
}
"""Programs that are not ours, whose command lines are only resolved."""

APT_KNOWS = {"mosquitto", "mosquitto-clients", "posed"}


# Blocks


def is_posed(block: Block, folder: Path) -> None:
    """A configuration of posed, good as it stands."""
    (folder / "secrets.yaml").write_text(
        'mqtt: "a"\ncamera_password: "b"\nweb: "0123456789abcdef"\n', encoding="utf-8"
    )
    path = folder / "posed.yaml"
    path.write_text(block.text, encoding="utf-8")
    load(path, {})


def is_secrets(block: Block, _: Path) -> None:
    """What `!secret` reads: names and texts."""
    assert all(isinstance(value, str) for value in yaml.safe_load(block.text).values())


def is_automation(block: Block, _: Path) -> None:
    """An automation of Home Assistant, about entities that posed announces."""
    automation = yaml.safe_load(block.text)
    assert {"triggers", "actions"} <= set(automation)
    announced = announcements(Config(**PI), "", has_temperature=False).values()
    entities = [entity for one in announced for entity in one.payload["components"].values()]
    known = {entity["default_entity_id"] for entity in entities}
    assert {trigger["entity_id"] for trigger in automation["triggers"]} <= known


def is_of_prometheus(block: Block, _: Path) -> None:
    """What Prometheus is to ask, and where: posed's port."""
    [job] = yaml.safe_load(block.text)["scrape_configs"]
    assert all(
        target.endswith(f":{Config().web.port}")
        for static in job["static_configs"]
        for target in static["targets"]
    )


def is_message(block: Block, _: Path) -> None:
    """A payload, good by the schema that the fence names."""
    name = block.kind.removeprefix("json ")
    jsonschema.Draft202012Validator(schemas.schema(name)).validate(json.loads(block.text))


def is_drop_in(block: Block, _: Path) -> None:
    """Settings of systemd's: sections with names and values."""
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(block.text)
    assert parser.sections()


def is_of_the_pi(block: Block, _: Path) -> None:
    """Lines of the Pi's config.txt."""
    assert re.fullmatch(r"(\[\w+\]\n|[a-z]+=[\w.,=-]+\n)+", block.text)


def is_drawing(block: Block, _: Path) -> None:
    """A drawing in letters."""
    assert "▶" in block.text


def is_covered_elsewhere(_: Block, __: Path) -> None:
    """One of the tests below looks at it."""


KINDS: dict[str, Callable[[Block, Path], None]] = {
    "sh": is_covered_elsewhere,  # by each command
    "yaml": is_posed,
    "yaml secrets": is_secrets,
    "yaml homeassistant": is_automation,
    "yaml lovelace": is_covered_elsewhere,  # tests/test_homeassistant.py, and in a real Home Assistant
    "yaml prometheus": is_of_prometheus,
    "ini systemd": is_drop_in,
    "text": is_drawing,
    "text config.txt": is_of_the_pi,
    "text mosquitto.conf": is_covered_elsewhere,  # test_mosquitto_runs_as_configured
    "text scripts/demo": is_covered_elsewhere,  # test_the_demo_prints_what_is_shown
    **{f"json {name}": is_message for name in schemas.NAMES},
}


@pytest.mark.parametrize("block", all_blocks(), ids=str)
def test_every_block_is_what_its_fence_says(block, tmp_path):
    assert block.kind in KINDS, f"{block}: `{block.kind}` must be one of {', '.join(KINDS)}"
    KINDS[block.kind](block, tmp_path)


def block_of(kind: str) -> Block:
    [block] = [one for one in all_blocks() if one.kind == kind]
    return block


# Commands


@cache
def known_commands() -> set[str]:
    """`detect`, `model pull`, …: every command of posed that does something by itself."""
    top = {command.name or command.callback.__name__ for command in app.registered_commands}
    return top | {
        f"{group.name} {command.name}"
        for group in app.registered_groups
        for command in group.typer_instance.registered_commands
    }


def check_posed(words: tuple[str, ...]) -> None:
    """posed knows the command and every option of it."""
    assert (
        words[1].startswith("-")
        or " ".join(words[1:2]) in known_commands()
        or " ".join(words[1:3]) in known_commands()
    )
    done = CliRunner().invoke(app, [*words[1:], "--help"])
    assert done.exit_code == 0, done.output


@cache
def help_of(script: str) -> str:
    """What a script says of its options: its help; where that cannot be had, what shows its options."""
    python = ROOT / f"{script}.py"
    if not python.exists():
        return (ROOT / script).read_text(encoding="utf-8").partition("set -")[0]
    if script in {"scripts/train", "scripts/evaluate/tracking"}:
        return " ".join(re.findall(r'"(--[\w-]+)"', python.read_text(encoding="utf-8")))
    command = [sys.executable, "-m", script.replace("/", "."), "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def check_script(words: tuple[str, ...]) -> None:
    """The script is there, can be run, and knows every option."""
    script, *arguments = words
    if "*" in script:
        assert list(ROOT.glob(script))
        return
    assert (ROOT / script).stat().st_mode & 0o111, f"{script} must be executable"
    if script == "scripts/python" and arguments:
        script = f"scripts/{arguments.pop(0).replace('.', '/')}"
        assert (ROOT / f"{script}.py").is_file(), f"{script} is no module"
    for option in [word.partition("=")[0] for word in arguments if word.startswith("--")]:
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", help_of(script)), f"{script} does not know {option}"


def check_others(words: tuple[str, ...]) -> None:
    """What it is about exists: a unit, a package, an extra, a file."""
    match words:
        case ("systemctl", "status" | "start" | "stop" | "restart" | "reload", unit):
            assert unit == "mosquitto" or (ROOT / f"systemd/{unit}.service").is_file()
        case ("journalctl", "-u", unit, *_):
            assert (ROOT / f"systemd/{unit}.service").is_file()
        case ("apt-get", "install" | "remove" | "purge", *packages):
            assert all(
                name in APT_KNOWS or re.fullmatch(r"\./[\w/]+_\*\.deb|\./\w+\d-std_\*\.deb", name)
                for name in packages
            )
        case ("pip", "install", "." | "pip-audit") | ("pip-audit", "--path", _):
            pass
        case ("pip", "install", extra):
            assert (
                extra[2:-1]
                in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
            )
        case ("python3", "-m", "venv", "--system-site-packages", "VENV"):
            pass
        case ("ssh", "-L", "8460:localhost:8460", "hall"):
            pass
        case ("cp", source, _):
            assert (ROOT / source).is_file()
        case ("mosquitto_passwd", *options, "/etc/mosquitto/passwords", _):
            assert options in ([], ["-c"])
        case _:
            pytest.fail(f"nothing here knows `{' '.join(words)}`")


def check_docker(words: tuple[str, ...]) -> None:
    """The files and services are there, and posed knows what is asked of it behind the last `posed`."""
    match words:
        case ("build", "-f", file, "-t", "posed", "."):
            assert (ROOT / file).is_file()
        case ("compose", "build" | "up" | "logs", *rest):
            assert set(rest) <= {"--detach", "posed", "broker"}
        case (
            ("compose", "run", "--rm", "broker", "mosquitto_passwd", *_)
            | ("logs", "posed")
            | ("kill", "--signal", "HUP", "posed")
        ):
            pass
        case ("compose", "run", "--rm", "posed", *_) | ("run" | "exec", *_):
            last = len(words) - words[::-1].index("posed")
            if asked := words[last:]:
                check_posed(("posed", *asked))
        case _:
            pytest.fail(f"nothing here knows `docker {' '.join(words)}`")


@pytest.mark.parametrize("command", {str(one): one for one in commands()}.values(), ids=str)
def test_every_command_resolves(command):
    program, *rest = command.words
    name = program.removeprefix("VENV/bin/").removeprefix(".venv/bin/")
    if name == "posed":
        check_posed(("posed", *rest))
    elif program.startswith("scripts/"):
        check_script(command.words)
    elif name == "docker":
        check_docker(tuple(rest))
    elif name in OTHERS:
        check_others((name, *rest))
    else:
        assert program in {"mosquitto_sub", "mosquitto_pub"}, f"{command.where}: nothing here knows {program}"


def rule(table_of: dict[str, Any], line: str) -> str | None:
    """The longest key that a command line begins with."""
    return max((key for key in table_of if f"{line} ".startswith(f"{key} ")), key=len, default=None)


def runnable() -> Iterator[str]:
    """Command lines of posed in blocks, each once, but for those that cannot be run here."""
    for command in commands():
        line = str(command).removeprefix("VENV/bin/").removeprefix(".venv/bin/")
        if command.runs and line.startswith("posed ") and (line in MORE or not rule(NOT_RUN, line)):
            yield line


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with Mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory) -> Path:
    """A folder with the files that the commands name."""
    folder = tmp_path_factory.mktemp("sandbox")
    for name in ("photo.jpg", "other.jpg"):
        shutil.copy(ROOT / "docs/demo.jpg", folder / name)
    shutil.copy(BUNDLED_FOLDER / "drawings_257_353_16.tflite", folder / "FILE.tflite")
    return folder


def configure(folder: Path) -> None:
    """Write the configuration that the commands name, which `posed setup` writes anew."""
    (folder / "posed.yaml").write_text(yaml.safe_dump(PI), encoding="utf-8")


@pytest.mark.parametrize("line", sorted(set(runnable())))
def test_every_command_of_posed_runs(line, sandbox, broker):
    configure(sandbox)
    more = MORE.get(rule(MORE, line) or "", [])
    if line.startswith("posed setup"):
        more = [*more, "--broker", f"127.0.0.1:{broker.port}"]
    here = environment(sandbox, {"POSED_MODEL__NAME": DRAWN, "POSED_MQTT__PORT": str(broker.port)})
    # The file's cameras are drawn; without it there is the default one.
    drawn = {} if "--config" in line else {"POSED_CAMERAS__CAMERA__KIND": "synthetic"}
    done = subprocess.run(
        [sys.executable, "-m", "posed", *line.split()[1:], *more],
        cwd=sandbox,
        env=here | {"PYTHONPATH": str(ROOT)} | drawn,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=180,
        check=False,
    )
    assert done.returncode in MAY_FAIL.get(rule(MAY_FAIL, line) or "", {0}), done.stderr


def of_mosquitto(program: str) -> list[list[str]]:
    """The arguments of each line of mosquitto's clients in the blocks, in their order."""
    return [list(one.words[1:]) for one in commands() if one.runs and one.words[0] == program]


@pytest.fixture(scope="module")
def pi(tmp_path_factory, broker):
    """A daemon at the broker, and what comes from it."""
    settings = PI | {"mqtt": {"port": broker.port}, "privacy": {"pictures": "skeleton"}}
    with Subscriber(broker.port, "posed/#") as heard, Daemon(tmp_path_factory.mktemp("pi"), settings):
        eventually(lambda: heard.payloads("posed/pi/hall/poses"), 120)
        eventually(lambda: heard.payloads("posed/pi/bedroom/poses"), 120)
        yield heard


def mosquitto_client(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"needs {program} (Debian: mosquitto-clients)")
    return found


def test_every_request_is_answered_well(pi, broker):
    for arguments in of_mosquitto("mosquitto_pub"):
        topic = arguments[arguments.index("-t") + 1]
        response, name = topic.replace("/request/", "/response/"), topic.removeprefix("posed/pi/")
        if "-m" in arguments:
            payload = json.loads(arguments[arguments.index("-m") + 1])
            jsonschema.Draft202012Validator(schemas.schema(name)).validate(payload)
        before = pi.payloads(response)
        client = [mosquitto_client("mosquitto_pub"), "-p", str(broker.port)]
        subprocess.run([*client, *arguments], check=True, timeout=10)
        [answer] = new_payloads(pi, response, before)
        assert json.loads(answer)["status"] == "ok", arguments


def new_payloads(heard: Subscriber, topic: str, before: list[bytes]) -> list[bytes]:
    """What came on a topic since, once something has."""
    eventually(lambda: len(heard.payloads(topic)) > len(before), 20)
    return heard.payloads(topic)[len(before) :]


@pytest.mark.parametrize("arguments", of_mosquitto("mosquitto_sub"), ids=" ".join)
def test_every_subscription_hears_something(arguments, pi, broker):
    client = [mosquitto_client("mosquitto_sub"), "-p", str(broker.port)]
    process = subprocess.Popen([*client, *arguments, "-C", "1", "-W", "20"], stdout=subprocess.PIPE)
    while process.poll() is None:
        pi.publish("posed/pi/request/test_event", b'{"type": "fall"}')
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    assert process.returncode == 0
    assert process.communicate()[0]


def test_mosquitto_runs_as_configured(tmp_path):
    shutil.copy(ROOT / "config/mosquitto/acl", tmp_path / "acl")
    passwords = tmp_path / "passwords"
    text = block_of("text mosquitto.conf").text
    text = text.replace("/etc/mosquitto/passwords", str(passwords)).replace(
        "/etc/mosquitto/acl", f"{tmp_path}/acl"
    )
    broker = ConfiguredMosquitto(tmp_path, text)
    for options, user in ((["-c", "-b"], "home"), (["-b"], "pi")):
        subprocess.run(["mosquitto_passwd", *options, passwords, user, "a password"], check=True)
    with (
        broker,
        Subscriber(broker.port, "posed/#", username="home", password="a password") as home,
        Subscriber(broker.port, "posed/#", username="pi", password="a password") as device,
    ):
        device.publish("posed/pi/state", b"{}")
        home.wait_for("posed/pi/state", b"{}")


def test_a_recording_is_made_and_replayed(pi, broker, sandbox):
    configure(sandbox)
    shutil.copy(sandbox / "posed.yaml", sandbox / "other.yaml")
    lines = [
        str(one)
        for one in commands()
        if one.runs and one.words[:2] in {("posed", "record"), ("posed", "replay")}
    ]
    here = environment(sandbox, {"POSED_MQTT__PORT": str(broker.port), "PYTHONPATH": str(ROOT)})
    for line in lines:
        more = ["--seconds", "2"] if line.startswith("posed record") else []
        command = [sys.executable, "-m", "posed", *line.split()[1:], *more]
        done = subprocess.run(
            command, cwd=sandbox, env=here, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, f"{line}: {done.stderr}"


def shape(line: str) -> str:
    """A line without its numbers, and the spaces that they leave."""
    return " ".join(re.sub(r"-?\d[\d.,:]*", "#", line).split())


def test_the_demo_prints_what_is_shown(tmp_path):
    wanted = {shape(line) for line in block_of("text scripts/demo").text.splitlines()}
    command = [sys.executable, "-m", "scripts.demo", "--seconds", "150"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    with process:
        for line in process.stdout:
            wanted.discard(shape(line.rstrip("\n")))
            if not wanted:
                break
        process.terminate()
        process.stdout.read()
    assert not wanted


# What the daemon says when something is wrong


@cache
def said_here() -> list[tuple[str | None, ...]]:
    """Everything that posed's code can say: the literal parts of each text, None where a value comes in."""
    found = []
    for path in (ROOT / "posed").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    tuple(part.value if isinstance(part, ast.Constant) else None for part in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append((node.value,))
    return [parts for parts in found if sum(len(part) for part in parts if part) >= 12]


def can_say(parts: tuple[str | None, ...], text: str) -> bool:
    """Whether a text is one that these parts make, with any value where one comes in."""

    @lru_cache
    def goes_on(part: int, at: int) -> bool:
        if part == len(parts):
            return at == len(text)
        literal = parts[part]
        if literal is None:
            return any(goes_on(part + 1, end) for end in range(at, len(text) + 1))
        return text.startswith(literal, at) and goes_on(part + 1, at + len(literal))

    return goes_on(0, 0)


def symptoms() -> list[str]:
    """The messages in the table of docs/troubleshooting.md."""
    first = [row[0] for row in table(TROUBLES, "When something is wrong")]
    return [span for cell in first for span in spans(cell) if len(span) > 30]


@pytest.fixture(scope="module")
def complaints(tmp_path_factory) -> str:
    """What posed really says of a typo, a missing model, a broker that is away, and a model of drawings."""
    folder = tmp_path_factory.mktemp("wrong")
    file = folder / "wrong.yaml"
    file.write_text("cameras: {hall: {kind: synthetic, fsp: 10}}\n", encoding="utf-8")
    said = posed(folder, "check", "--config", file).stderr
    file.write_text("cameras: {hall: {kind: synthetic}}\n", encoding="utf-8")
    said += posed(folder, "run", "--config", file).stderr
    away = PI | {"cameras": {"camera": {"kind": "video", "source": "/dev/video99"}}, "mqtt": {"port": 1}}
    with Daemon(folder, away) as daemon:
        eventually(lambda: "refused" in daemon.log() and "hardly" in daemon.log(), 90)
        return said + daemon.log()


def test_there_are_symptoms():
    assert len(symptoms()) > 10


@pytest.mark.parametrize("message", symptoms())
def test_the_symptoms_are_real(message, complaints):
    pattern = re.escape(message).replace("…", ".+").replace("1883", r"\d+")
    real = re.search(pattern, complaints)
    rest = re.sub(r"^cameras\.\w+\.", "", message)  # which is put before what is wrong with a camera
    said = any(can_say(parts, text) for parts in said_here() for text in (message, rest))
    assert real or said, f"posed never says: {message}"


# Names


def names_of(section: type[BaseModel], before: str = "") -> set[str]:
    """Dotted names of all settings and sections."""
    names = set()
    for name, field in section.model_fields.items():
        kinds = [field.annotation, *get_args(field.annotation)]
        inner = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        names |= {before + name, *(names_of(inner[0], f"{before}{name}.") if inner else ())}
    return names


def fields_of(schema: dict[str, Any], definition: str, before: str = "") -> set[str]:
    """Dotted names of what is in a message."""
    names = set()
    for name, value in schema["$defs"][definition].get("properties", {}).items():
        inner = re.findall(r"#/\$defs/(\w+)", json.dumps(value))
        names |= {before + name, *(fields_of(schema, inner[0], f"{before}{name}.") if inner else ())}
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_of_a_setting_or_field_is_right(page):
    settings, state = names_of(Config), fields_of(schemas.schema("state"), "State")
    sections = "|".join(Config.model_fields)
    for span in set(spans(prose(page))) - set(symptoms()):
        name = re.sub(r"^cameras\.[a-z_]+\.", "cameras.", span.partition(":")[0])
        if re.fullmatch(rf"({sections})\.[a-z_.]+", name):
            assert name in settings | state, f"{page.name}: there is no setting {name}"
        if re.fullmatch(r"state\.[a-z_.]+", name):
            assert name.removeprefix("state.") in state, f"{page.name}: there is no {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for link in links(page):
        target, _, anchor = link.partition("#")
        if link.startswith("https://"):
            continue
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {link}"


def test_every_test_that_is_named_is_there():
    words = {word for page in PAGES for span in spans(prose(page)) for word in span.split()}
    named = {word for word in words if word.startswith("tests/")}
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def first_column(page: Path, heading: str) -> set[str]:
    return {span for row in table(page, heading) for span in spans(row[0])}


def test_every_page_can_be_reached_from_the_readme():
    reached = {(README.parent / link.partition("#")[0]).resolve() for link in links(README)}
    assert set(PAGES) - {README} <= reached


def test_everything_there_is_has_its_row():
    assert first_column(MQTT, "Requests") == set(VERBS)
    assert first_column(MQTT, "Events") == set(get_args(EventType))
    of_topics = {
        topic.replace("/<zone>", "").replace("<camera>", "camera") for topic in first_column(MQTT, "Topics")
    }
    verbs = {name for name in schemas.NAMES if name.startswith(("request/", "response/"))}
    assert of_topics - {"availability", "camera/snapshot"} == {
        *("request/<verb>", "response/<verb>"),
        *(set(schemas.NAMES) - verbs),
    }
    statuses = {
        kind.exit_status
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.PosedError)
    }
    assert {int(row[0]) for row in table(SERVICE, "Exit status")} == statuses | {130}


def test_every_command_of_posed_is_told_of():
    told = {" ".join(one.words) for one in commands()}
    assert {name for name in known_commands() if not any(f"posed {name}" in line for line in told)} == set()


# The configuration


def test_every_setting_has_a_comment():
    text = (ROOT / "config/posed.yaml").read_text(encoding="utf-8")
    # A section's comment may stand above its name, and one comment be of several settings in a row.
    lines = [line for line in text.splitlines() if not re.fullmatch(r"\w+:", line)]
    for before, line in itertools.pairwise(lines):
        if re.match(r"\s+\w+:( |$)", line):
            assert re.match(r"\s*#|\s+\w+: ", before), f"no comment: {line}"


@pytest.mark.parametrize(
    ("section", "name", "shown"),
    [(TlsConfig, "insecure", "false"), (ZoneConfig, "kind", "normal"), (ZoneConfig, "anchor", "feet")],
)
def test_settings_that_are_commented_out_show_their_default(section, name, shown):
    lines = (ROOT / "config/posed.yaml").read_text(encoding="utf-8").splitlines()
    assert f"{name}: {shown}" in [line.strip("# ") for line in lines if line.lstrip().startswith("#")]
    assert yaml.safe_load(shown) == section.model_fields[name].default


@pytest.mark.parametrize(
    "config", [one for one in CONFIGS if one.parent.name == "config"], ids=lambda path: path.name
)
def test_every_configuration_is_good(config):
    load(config, {})


# Pictures


@pytest.mark.parametrize("name", ["demo", "decoding", "strides"])
def test_the_pictures_are_what_is_drawn(name):
    shown = cv2.imread(str(ROOT / f"docs/{name}.jpg"))
    drawn = cv2.cvtColor(getattr(draw_docs, name)(), cv2.COLOR_RGB2BGR)
    assert shown.shape == drawn.shape
    # JPEG, and a runtime whose last digit differs, change some pixels a little.
    assert np.abs(shown.astype(int) - drawn).mean() < 5
