"""The question for the broker: where it is, and what it wants before it lets a device in."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import typer

from posed.commands.setup.answers import Answers, Given, resolved
from posed.commands.setup.check import Reached, try_broker
from posed.commands.setup.find import find_brokers
from posed.commands.setup.prompt import Prompt, say
from posed.commands.setup.secret import Secret
from posed.config import TlsConfig, mqtt_password
from posed.errors import BrokerError, ConfigError
from posed.mqtt.attempt import Remedy, tls_context
from posed.mqtt.broker_session import NotReached

_TYPED: Final = "HOST[:PORT], or mqtts://HOST[:PORT] for TLS"
_INSTALL: Final = "install one here: sudo apt-get install mosquitto"


class BrokerQuestion:
    """Asks for the broker and connects to it.

    Args:
        given: on the command line.
        answers: where the settings go.
        prompt: asks.

    Attributes:
        reached: what the broker said; None where no connection succeeded.
    """

    def __init__(self, given: Given, answers: Answers, prompt: Prompt) -> None:
        self.reached: Reached | None = None
        self._given = given
        self._answers = answers
        self._prompt = prompt

    def check_flags(self) -> None:
        """Refuse flags that no other answer at the prompt could make good.

        Raises:
            ConfigError: flags contradict each other, or name a file that cannot be used.
        """
        given = self._given
        if given.tls is False and given.ca is not None:
            raise ConfigError([f"--ca: must not stand beside --no-tls, got {given.ca}"])
        if given.ca is not None:
            tls_context(TlsConfig(ca=given.ca))
        self._take_login_flags()
        mqtt_password(self._answers.mqtt())

    def ask(self) -> str:
        """A broker of those found, or a typed one.

        Raises:
            ConfigError: none was found, and nobody can be asked.
        """
        if self._prompt.interactive:
            say("Looking for brokers …")
        found = [
            (f"{'mqtts' if broker.tls else 'mqtt'}://{broker.host}:{broker.port}", broker.note)
            for broker in find_brokers()
        ]
        if found:
            return self._prompt.choose("Broker", _TYPED, found, with_default=True)
        if self._prompt.interactive:
            return self._ask_where_none_is_found()
        flag = "give one with --broker HOST[:PORT]"
        raise ConfigError([f"broker: none found by mDNS or on this machine; {flag}, or {_INSTALL}"])

    def _ask_where_none_is_found(self) -> str:
        """A typed broker; with nothing typed, whatever is found when looking again."""
        say(f"no broker found, by mDNS or on this machine; {_INSTALL}")
        say("posed runs without one, too: answer localhost and keep it, and it connects once there is one")
        text: str = typer.prompt(f"Broker: {_TYPED} (empty: look again)", default="", show_default=False)
        return text or self.ask()

    def take(self, text: str) -> bool:
        """Take an answer and connect; False where another broker is wanted.

        Raises:
            ConfigError: the answer is against a rule.
            BrokerError: there is no connection, and nobody can be asked.
        """
        host, port, tls = _parse_broker(text)
        if self._given.tls is not None:
            tls = self._given.tls
        tls = tls or self._given.ca is not None
        self._answers.set("mqtt.tls", _tls_settings(self._given.ca) if tls else None)
        self._answers.set("mqtt.host", host)
        self._answers.set("mqtt.port", port or (8883 if tls else 1883))
        self._take_login_flags()
        if self._given.username and self._prompt.interactive and self._answers.mqtt_password() is None:
            self._ask_password()
        return self._connect()

    def _take_login_flags(self) -> None:
        file = self._given.password_file
        self._answers.set("mqtt.username", self._given.username)
        self._answers.set("mqtt.password_file", None if file is None else str(resolved(file)))
        self._answers.set("mqtt.password", None)

    def _connect(self) -> bool:
        """Try until it connects, or another broker is wanted."""
        while True:
            config = self._answers.mqtt()
            try:
                self.reached = try_broker(config, self._answers.mqtt_password())
            except NotReached as error:
                if not self._prompt.interactive or error.remedy is None:
                    return self._prompt.keep(_with_hint(error))
                say(str(error))
                if not self._apply(error.remedy):
                    return False
            else:
                say(f"mqtt {config.host}:{config.port}: connected with MQTT {self.reached.version}")
                return True

    def _apply(self, remedy: Remedy) -> bool:
        """Ask for what the broker seems to want; False for another broker."""
        match remedy:
            case "login":
                return self._ask_login()
            case "authority":
                return self._ask_authority()
            case "tls":
                return self._ask_tls()

    def _ask_login(self) -> bool:
        question = "User name at the broker (empty: another broker)"
        user = typer.prompt(question, default=self._answers.settings.get("mqtt.username", ""))
        if not user:
            return False
        self._answers.set("mqtt.username", user)
        self._ask_password()
        return True

    def _ask_password(self) -> None:
        self._answers.set("mqtt.password_file", None)
        password = typer.prompt("Password", hide_input=True, default="", show_default=False)
        self._answers.set("mqtt.password", Secret("mqtt", password) if password else None)

    def _ask_authority(self) -> bool:
        file = typer.prompt("PEM file of the authority to trust (empty: another broker)", default="")
        if not file:
            return False
        settings = _tls_settings(Path(file))
        try:
            tls_context(TlsConfig(ca=resolved(Path(file))))
        except ConfigError as error:
            say(str(error))
        else:
            self._answers.set("mqtt.tls", settings)
        return True

    def _ask_tls(self) -> bool:
        if not typer.confirm("Try with TLS?", default=True):
            return False
        self._answers.set("mqtt.tls", {})
        return True


def _tls_settings(ca: Path | None) -> dict[str, str]:
    return {} if ca is None else {"ca": str(resolved(ca))}


def _parse_broker(text: str) -> tuple[str, int | None, bool]:
    """Host, port if given, and whether TLS was asked for."""
    scheme, found, rest = text.strip().partition("://")
    if not found:
        scheme, rest = "mqtt", scheme
    try:
        parts = urlsplit(f"//{rest}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    whole = host and rest.rstrip("/").lower() in (host, f"{host}:{port}", f"[{host}]", f"[{host}]:{port}")
    if scheme not in ("mqtt", "mqtts") or not host or not whole or port == 0:
        rule = "must be HOST, HOST:PORT, or either behind mqtts:// for TLS"
        # Somebody may have put a password before the @.
        raise ConfigError([f"broker: {rule}, got {'something with @' if '@' in text else repr(text)}"])
    return host, port, scheme == "mqtts" or port == 8883


def _with_hint(error: NotReached) -> BrokerError:
    """Which flag may help, where nobody can be asked."""
    flags = {"login": "--username and --password-file", "authority": "--ca", "tls": "--tls"}
    return error if error.remedy is None else BrokerError(f"{error} (see {flags[error.remedy]})")
