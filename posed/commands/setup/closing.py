"""What `posed setup` ends with: what it found, how posed starts, where its page is, and an alarm to try."""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import typer

from posed.commands.doctor.checks import Check, Service, ask_systemd
from posed.commands.doctor.edgetpu import accelerators
from posed.commands.setup.alarm import command_for_test_alarm, send_test_alarm
from posed.commands.setup.prompt import Prompt, say
from posed.config import Config, WebConfig, page_url
from posed.errors import BrokerError
from posed.paths import SERVICE_CONFIG

_START_S: Final = 100
"""systemd gives up on a service that is not ready within 90 s; this is longer, s."""

Run = Callable[[Sequence[str]], bool]


def _run(command: Sequence[str]) -> bool:
    """Whether a command succeeds; what it says, people see."""
    try:
        return subprocess.run(command, timeout=_START_S, check=False).returncode == 0  # noqa: S603 ours
    except (OSError, subprocess.SubprocessError):
        return False


@dataclass(frozen=True, slots=True)
class Closing:
    """The end of setup.

    Args:
        path: of the configuration, which is written.
        config: what it says.
        prompt: asks.
        is_new: whether it was written anew.
        service: what systemd says of posed.
        run: runs a command, and says whether it succeeded.
    """

    path: Path
    config: Config
    prompt: Prompt
    is_new: bool
    service: Service = field(default_factory=ask_systemd)
    run: Run = _run

    def say_what_was_found(self, broker: str, devices: Sequence[Check] | None = None) -> None:
        """Sum up the broker, the cameras and the Coral.

        Args:
            broker: how it answers, in words.
            devices: the Edge TPUs; None: those of this machine.
        """
        devices = accelerators() if devices is None else devices
        without = "the camera does its work" if self.config.infers_in_cameras else "the CPU does its work"
        coral = "; ".join(device.found for device in devices) or f"no Coral: {without}"
        cameras = ", ".join(f"{name} ({camera.kind})" for name, camera in self.config.cameras.items())
        say("found:")
        for what, found in (("broker", broker), ("cameras", cameras), ("coral", coral)):
            say(f"  {what:<8} {found}")

    def say_what_is_next(self, *, is_online: bool) -> None:
        """Start posed where that is wanted, say where its page is, and offer a test alarm.

        Args:
            is_online: whether the broker knows a daemon of this name that is online.
        """
        starts = self._start()
        self._say_address()
        if not (starts or is_online) or not self._send_test_alarm():
            say(f"test alarm: {command_for_test_alarm(self.config)}")
            if self.config.web.enabled:
                say("  or on the page: Set up, Send a test alarm")

    def _start(self) -> bool:
        """Whether posed was started with the configuration."""
        if self.path != SERVICE_CONFIG:
            say(f"next: {_ourselves()} run --config {shlex.quote(str(self.path))}")
            return False
        question, verb = "Start posed with it now?", "restart" if self.is_new else "reload-or-restart"
        if (
            self.prompt.interactive
            and self.service.loaded == "loaded"
            and typer.confirm(question, default=True)
        ):
            if self.run(["systemctl", verb, "posed.service"]):
                return True
            say("posed does not start: sudo posed doctor says why")
            return False
        say(f"next: sudo systemctl {verb} posed")
        return False

    def _say_address(self) -> None:
        web = self.config.web
        if not web.enabled:
            say("live view: off; `posed setup` offers it, and web.enabled in the file is its switch")
        elif web.is_local:
            say(f"live view: http://127.0.0.1:{web.port}/ on this machine, once posed runs")
            say(f"  from another one: {_tunnel(web)}, then open http://localhost:{web.port}/ there")
        else:
            token = "" if web.token is None else f"?token={self._shown(web.token.get_secret_value())}"
            page = page_url(web) or f"http://ADDRESS:{web.port}/"
            say(f"live view: {page}{token} in your network")
            say("  or with this machine's address for its name; a browser keeps the token for 30 days")

    def _shown(self, token: str) -> str:
        """A token is shown to somebody at a terminal, and to no log."""
        return token if self.prompt.interactive else "TOKEN (web in secrets.yaml)"

    def _send_test_alarm(self) -> bool:
        """Whether one was wanted, and sent."""
        question = "Send a test alarm now, to everybody who gets this device's alarms?"
        if not self.prompt.interactive or not typer.confirm(question, default=False):
            return False
        try:
            say(send_test_alarm(self.config))
        except BrokerError as error:
            say(str(error))
            return False
        return True


def _tunnel(web: WebConfig) -> str:
    """The command that brings the page of this machine to another."""
    user = os.environ.get("SUDO_USER") or os.environ.get("USER") or "USER"
    return f"ssh -L {web.port}:localhost:{web.port} {user}@{socket.gethostname()}"


def _ourselves() -> str:
    """The command as it was called, where a shell would not find it by its name."""
    called = sys.argv[0]
    return called if Path(called).name == "posed" and shutil.which("posed") is None else "posed"
