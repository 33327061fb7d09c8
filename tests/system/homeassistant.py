"""A real Home Assistant in a chroot, driven over its own API as a browser would.

Each release lives in /opt/homeassistant of the Debian that has its Python (tests/system/pythons.py), where it
is installed once; delete that folder to start afresh.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from websockets.sync.client import ClientConnection, connect

from tests.system.debian import Chroot, proxies
from tests.system.needs import cannot
from tests.system.pythons import make_debian_of


@dataclass(frozen=True)
class Release:
    """Of Home Assistant.

    Args:
        version: as pip knows it.
        codename: of the Debian that has its Python.
    """

    version: str
    codename: str


NEWEST: Final = Release("2026.11.0", "forky")
LAST_OF_PYTHON_3_13: Final = Release("2026.2.3", "trixie")

INTEGRATIONS: Final = (
    *("api", "automation", "climate", "config", "event", "frontend", "generic_thermostat", "history"),
    *("image", "input_boolean", "lovelace", "mqtt", "notify", "onboarding", "template"),
    # What it imports to say which actions there are, without which the frontend does not begin.
    *("assist_satellite", "camera", "conversation", "stream", "tts"),
    # What the dialogue of MQTT imports.
    "hassio",
)
"""What the tests load beside what every Home Assistant does."""

START_S: Final = 240.0
"""How long it may take to answer, s; its first start writes its databases on a busy machine."""

STOP_S: Final = 120.0
USER: Final = {"name": "check", "username": "check", "password": "check"}

LIST_REQUIREMENTS: Final = """
import json, sys
from pathlib import Path
from homeassistant import bootstrap, components

folder, known = Path(components.__path__[0]), {}
todo = [*bootstrap.CORE_INTEGRATIONS, *bootstrap.DEFAULT_INTEGRATIONS, *sys.argv[1:]]
while todo:
    name = todo.pop()
    if name not in known:
        known[name] = json.loads((folder / name / "manifest.json").read_text())
        todo += known[name].get("dependencies", [])
print("\\n".join(sorted({one for manifest in known.values() for one in manifest.get("requirements", [])})))
"""
"""Prints what integrations and those that they load ask of pip."""

INSTALL: Final = """
rm -rf /opt/homeassistant
python3 -m venv /opt/homeassistant
# Its own constraints, which come with it, spare pip a search among what others have released since.
# Of its thousands of files few are loaded here, so that none is compiled before it is.
export PIP_NO_COMPILE=1
pip install --no-deps "homeassistant==$1"
constraints=$(echo /opt/homeassistant/lib/python3*/site-packages/homeassistant/package_constraints.txt)
# Some of its libraries come as source alone; none is needed fast here.
SKIP_CYTHON=1 pip install "homeassistant==$1" --constraint "$constraints"
# What an integration needs is installed when it is first loaded, which takes a network at each first start.
python -c "$2" $3 >/requirements.txt
pip install --requirement /requirements.txt --constraint "$constraints"
"""


def make_chroot(release: Release) -> Chroot:
    """A Debian with Home Assistant and all that it asks for; made once, which takes minutes."""
    root = make_debian_of(release.codename)
    chroot = Chroot(root, {"PATH": "/opt/homeassistant/bin:/usr/sbin:/usr/bin:/sbin:/bin"})
    words = [release.version, LIST_REQUIREMENTS, " ".join(INTEGRATIONS)]
    wanted = hashlib.sha256("\n".join([INSTALL, *words]).encode()).hexdigest()
    made = root / "opt/homeassistant/.made"
    if not made.exists() or made.read_text(encoding="ascii") != wanted:
        install(chroot, words)
        made.write_text(wanted, encoding="ascii")
    return chroot


def install(chroot: Chroot, words: list[str]) -> None:
    """Everything that comes by pip."""
    chroot.take_along()
    log = chroot.root.parent / f"homeassistant_{words[0]}.log"
    online = replace(chroot, variables=chroot.variables | proxies())
    with log.open("wb") as file:
        done = online.run("sh", "-e", "-c", INSTALL, "sh", *words, stdout=file, stderr=file)
    if done.returncode != 0:
        cannot(f"installing failed, see {log}")


def answered(socket: ClientConnection, kind: str, **more: Any) -> Any:
    """The result of a connection's first command of the WebSocket API."""
    socket.send(json.dumps({"id": 1, "type": kind, **more}))
    answer = json.loads(socket.recv())
    if not answer["success"]:
        raise RuntimeError(f"{kind}: {answer['error']}")
    return answer["result"]


class HomeAssistant:
    """One installation with a fresh configuration folder.

    Args:
        chroot: that has it.
        port: where it shall listen on 127.0.0.1.
        configuration: the text of configuration.yaml, without `http` and `api`.
        files: what else lies in its configuration folder, by the place there.
    """

    def __init__(self, chroot: Chroot, port: int, configuration: str, files: Mapping[str, str]) -> None:
        self._chroot = chroot
        self._url = f"127.0.0.1:{port}"
        self._folder = chroot.root / "check"
        shutil.rmtree(self._folder, ignore_errors=True)
        own = f"http: {{server_host: 127.0.0.1, server_port: {port}}}\napi:\n"
        self._folder.mkdir()
        for place, text in {"configuration.yaml": own + configuration, **files}.items():
            self.put(place, text)
        self._token: str | None = None
        self._tokens: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://{self._url}"

    def put(self, place: str, text: str) -> None:
        """Copy a file into its configuration folder, as its owner would."""
        path = self._folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def start(self) -> None:
        """Returns once it runs and all that is configured has been set up."""
        command = self._chroot.command("hass", "--config", "/check", "--skip-pip")
        with (self._folder / "output.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        give_up_at = time.monotonic() + START_S
        while not self._runs():
            if self._process.poll() is not None or time.monotonic() > give_up_at:
                raise RuntimeError(f"Home Assistant did not start:\n{self.log()[-4000:]}")
            time.sleep(0.5)

    def stop(self) -> None:
        """As a user stops it, so that it saves what it knows."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def onboard(self) -> None:
        """Create the owner, and get a token."""
        client = f"http://{self._url}/"
        owner = {**USER, "client_id": client, "language": "en"}
        code = self.call("POST", "/api/onboarding/users", owner)["auth_code"]
        form = {"grant_type": "authorization_code", "code": code, "client_id": client}
        answer = self._open("POST", "/auth/token", urllib.parse.urlencode(form).encode())
        self._tokens = json.loads(answer)
        self._token = self._tokens["access_token"]
        # Else a browser is led back to them.
        self.call("POST", "/api/onboarding/analytics", {})
        self.call("POST", "/api/onboarding/integration", {"client_id": client, "redirect_uri": client})
        self.call("POST", "/api/onboarding/core_config", {})
        self._confirm_address()

    def _confirm_address(self) -> None:
        """Newer ones else restart after five minutes, with the address that they had before."""
        try:
            waits = self.ask("http/config")["pending"] is not None
        except RuntimeError as error:
            if "unknown_command" not in str(error):
                raise
            return
        if waits:
            self.ask("http/config/promote")

    def browser_tokens(self) -> str:
        """What a browser that is logged in keeps as `hassTokens`, JSON."""
        of_browser = {"hassUrl": self.url, "clientId": f"{self.url}/", "expires": (time.time() + 1800) * 1000}
        return json.dumps(self._tokens | of_browser)

    def add_mqtt(self, port: int) -> None:
        """Go through the dialogue that adds the MQTT integration."""
        flows = "/api/config/config_entries/flow"
        form = self.call("POST", flows, {"handler": "mqtt"})
        filled: dict[str, Any] = {"broker": "127.0.0.1", "port": port}
        if any(field["name"] == "other_settings" for field in form["data_schema"]):  # 2026.8 and later
            filled["other_settings"] = {"set_client_cert": False, "set_ca_cert": "off"}
        result = self.call("POST", f"{flows}/{form['flow_id']}", filled)
        if result["type"] != "create_entry":
            raise RuntimeError(f"the MQTT integration cannot be added: {result}")

    def states(self) -> dict[str, dict[str, Any]]:
        """Every entity's state, with its attributes, by entity id."""
        return {one["entity_id"]: one for one in self.call("GET", "/api/states")}

    def service(self, name: str, **data: Any) -> None:
        """Call a service, `domain.service`, and wait until it is done."""
        self.call("POST", f"/api/services/{name.replace('.', '/')}", data)

    def ask(self, kind: str, **more: Any) -> Any:
        """The result of one command of the WebSocket API."""
        with self._socket() as socket:
            return answered(socket, kind, **more)

    def render(self, template: str) -> str:
        """What a template gives, as strictly as a card of a dashboard renders it."""
        with self._socket() as socket:
            answered(socket, "render_template", template=template, strict=True, report_errors=True)
            event = json.loads(socket.recv())["event"]
            if "error" in event:
                raise RuntimeError(f"{event['error']}, in the template:\n{template}")
            return str(event["result"])

    @contextmanager
    def _socket(self) -> Iterator[ClientConnection]:
        """A connection to the WebSocket API."""
        with connect(f"ws://{self._url}/api/websocket", max_size=None) as socket:
            socket.recv()
            socket.send(json.dumps({"type": "auth", "access_token": self._token}))
            if json.loads(socket.recv())["type"] != "auth_ok":
                raise RuntimeError("Home Assistant does not accept its own token")
            yield socket

    def log(self) -> str:
        """Everything that it wrote since its first start."""
        return (self._folder / "output.log").read_text(encoding="utf-8", errors="replace")

    def call(self, method: str, path: str, data: Any = None) -> Any:
        """One request of the REST API."""
        return json.loads(self._open(method, path, None if data is None else json.dumps(data).encode()))

    def picture(self, path: str) -> bytes:
        """What an image entity shows."""
        return self._open("GET", path, None)

    def _open(self, method: str, path: str, body: bytes | None) -> bytes:
        request = urllib.request.Request(f"http://{self._url}{path}", body, method=method)
        if body is not None and body[:1] in {b"{", b"["}:
            request.add_header("Content-Type", "application/json")
        if self._token is not None:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from None

    def _runs(self) -> bool:
        try:
            if self._token is None:
                return bool(self.call("GET", "/api/onboarding"))
            return bool(self.call("GET", "/api/config")["state"] == "RUNNING")
        except (OSError, RuntimeError):
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
