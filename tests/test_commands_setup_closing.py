"""How `posed setup` ends: starting the service, and a test alarm."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from posed.commands.doctor.checks import Check, Service
from posed.commands.setup import alarm, closing
from posed.commands.setup.alarm import command_for_test_alarm, send_test_alarm
from posed.commands.setup.closing import Closing
from posed.commands.setup.prompt import Prompt
from posed.config import Config
from posed.errors import BrokerError
from posed.paths import SERVICE_CONFIG
from tests.brokers import Mosquitto, Subscriber, eventually, free_port
from tests.run_posed import Daemon

INSTALLED = Service("loaded")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


def config_of(port: int, **more: Any) -> Config:
    return Config.model_validate({"device": "hall", "mqtt": {"host": "127.0.0.1", "port": port}, **more})


class Answers:
    """Somebody who answers each question as told, and what they were asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **answers: bool) -> None:
        self.asked: list[str] = []
        self._answers = answers
        monkeypatch.setattr(closing.typer, "confirm", self._confirm)

    def _confirm(self, question: str, *, default: bool) -> bool:
        self.asked.append(question)
        return self._answers.get(question.split(maxsplit=1)[0], default)


class Runs:
    """Runs no command, and says that it succeeded, or not."""

    def __init__(self, *, succeeds: bool = True) -> None:
        self.commands: list[Sequence[str]] = []
        self._succeeds = succeeds

    def __call__(self, command: Sequence[str]) -> bool:
        self.commands.append(command)
        return self._succeeds


def close(
    config: Config,
    run: Callable[[Sequence[str]], bool],
    *,
    interactive: bool = True,
    is_new: bool = True,
    is_online: bool = False,
) -> None:
    prompt = Prompt(interactive=interactive, force=False)
    end = Closing(SERVICE_CONFIG, config, prompt, is_new=is_new, service=INSTALLED, run=run)
    end.say_what_is_next(is_online=is_online)


@pytest.mark.parametrize(("is_new", "verb"), [(True, "restart"), (False, "reload-or-restart")])
def test_the_service_is_started_with_a_yes(monkeypatch, is_new, verb):
    run, answers = Runs(), Answers(monkeypatch)
    close(config_of(free_port()), run, is_new=is_new)
    assert run.commands == [["systemctl", verb, "posed.service"]]
    assert answers.asked[0] == "Start posed with it now?"
    assert answers.asked[1].startswith("Send a test alarm now, ")


def test_a_service_that_does_not_start_gets_no_test_alarm(monkeypatch, capsys):
    answers = Answers(monkeypatch)
    close(config_of(free_port()), Runs(succeeds=False))
    assert answers.asked == ["Start posed with it now?"]
    assert "posed does not start: sudo posed doctor says why\n" in capsys.readouterr().out


def test_without_a_terminal_nothing_is_started_nor_sent(monkeypatch, capsys):
    run, answers = Runs(), Answers(monkeypatch)
    close(config_of(free_port()), run, interactive=False, is_online=True)
    assert (run.commands, answers.asked) == ([], [])
    assert "next: sudo systemctl restart posed\n" in capsys.readouterr().out


def events_of(heard: Subscriber) -> list[tuple[str, str, dict[str, Any]]]:
    """What came so far; drawn people walk about, too."""
    events = [json.loads(payload) for payload in heard.payloads("posed/hall/events")]
    return [(event["type"], event["camera"], event["detail"]) for event in events]


def test_a_daemon_that_runs_sends_the_test_alarm(monkeypatch, capsys, broker, tmp_path):
    settings = {
        "device": "hall",
        "cameras": {"door": {"kind": "synthetic", "fps": 5}},
        "model": {"name": "drawings-257x353-16"},
        "mqtt": {"host": "127.0.0.1", "port": broker.port},
    }
    Answers(monkeypatch, Send=True, Start=False)
    with Subscriber(broker.port) as heard, Daemon(tmp_path, settings):
        close(config_of(broker.port), Runs(), is_online=True)
        eventually(lambda: ("fall", "door", {"test": True}) in events_of(heard))
    said = capsys.readouterr().out
    assert "test alarm: sent to posed/hall/events, of door\n" in said
    assert "mosquitto_pub" not in said


def test_a_test_alarm_that_fails_leaves_the_command_to_try(monkeypatch, capsys):
    port = free_port()
    Answers(monkeypatch, Send=True)
    close(config_of(port, web={"enabled": True}), Runs(), is_online=True)
    assert capsys.readouterr().out.endswith(
        f"mqtt 127.0.0.1:{port}: connection refused\n"
        f"test alarm: mosquitto_pub -h 127.0.0.1 -p {port} -t posed/hall/request/test_event -n\n"
        "  or on the page: Set up, Send a test alarm\n"
    )


def test_a_daemon_that_is_not_online_is_told(broker):
    with pytest.raises(BrokerError, match="device hall: is not online within 0 s"):
        send_test_alarm(config_of(broker.port), wait_s=0)


def test_a_daemon_that_does_not_answer_is_told(monkeypatch, broker):
    monkeypatch.setattr(alarm, "ANSWER_S", 0.3)
    with Subscriber(broker.port) as other:
        other.publish("posed/hall/availability", b"online", retain=True)
        with pytest.raises(BrokerError, match=r"device hall: no answer within 0\.3 s"):
            send_test_alarm(config_of(broker.port))


def test_a_daemon_that_refuses_is_told_why(broker):
    with Subscriber(broker.port) as other:
        other.publish("posed/hall/availability", b"online", retain=True)
        answering = threading.Thread(target=refuse, args=(other,))
        answering.start()
        with pytest.raises(BrokerError, match=r"^device hall: too many requests$"):
            send_test_alarm(config_of(broker.port))
        answering.join()


def refuse(other: Subscriber) -> None:
    eventually(lambda: other.payloads("posed/hall/request/test_event"))
    asked = json.loads(other.payloads("posed/hall/request/test_event")[-1])
    answers = ({"status": "ok", "transaction": "of another"}, {**asked, "error": "too many requests"})
    for answer in answers:
        said = {"status": "error", "transaction": asked["transaction"]} | answer
        said.pop("type", None)
        said.pop("camera", None)
        other.publish("posed/hall/response/test_event", json.dumps(said).encode())


@pytest.mark.parametrize(
    ("mqtt", "options"),
    [
        ({"port": 1883}, "-h 127.0.0.1"),
        ({"port": 8883, "tls": {}}, "-h 127.0.0.1 -p 8883 --tls-use-os-certs"),
        ({"port": 1883, "username": "me", "password": "secret"}, "-h 127.0.0.1 -u me -P PASSWORD"),
    ],
)
def test_the_command_says_all_but_the_password(mqtt, options):
    config = Config.model_validate({"device": "hall", "mqtt": {"host": "127.0.0.1", **mqtt}})
    line = f"mosquitto_pub {options} -t posed/hall/request/test_event -n"
    assert command_for_test_alarm(config) == line


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ([], "no Coral: the CPU does its work"),
        ([Check("edge tpu", "ok", "USB Accelerator on /dev/bus/usb/002/003")], "USB Accelerator on /dev/bus"),
    ],
)
def test_what_was_found_is_summed_up(capsys, devices, said):
    cameras = {"hall": {"kind": "synthetic"}, "bath": {"kind": "video", "source": "/dev/video2"}}
    end = Closing(
        Path("posed.yaml"),
        config_of(1883, cameras=cameras),
        Prompt(interactive=False, force=False),
        is_new=True,
    )
    end.say_what_was_found("127.0.0.1:1883, MQTT 5", devices)
    found = capsys.readouterr().out.splitlines()
    assert found[:3] == [
        "found:",
        "  broker   127.0.0.1:1883, MQTT 5",
        "  cameras  hall (synthetic), bath (video)",
    ]
    assert said in found[3]


def test_an_ai_camera_does_the_work_itself(capsys):
    own = config_of(1883, cameras={"hall": {"kind": "imx500"}})
    end = Closing(Path("posed.yaml"), own, Prompt(interactive=False, force=False), is_new=True)
    end.say_what_was_found("127.0.0.1:1883, MQTT 5", [])
    assert "no Coral: the camera does its work" in capsys.readouterr().out
