"""The questions for the live view: who may open it, and what its pictures show."""

from __future__ import annotations

import secrets
from typing import Final

from posed.commands.setup.answers import Answers, Given
from posed.commands.setup.prompt import Prompt, say
from posed.commands.setup.secret import Secret
from posed.errors import ConfigError

VIEWS: Final = {
    "local": "for browsers on this machine, and over SSH from others",
    "network": "for every browser in this network that knows a token, which is made now",
    "off": "no page",
}
"""The live view may be served like this."""

PICTURES: Final = {
    "off": "no picture, ever: the page draws figures",
    "skeleton": "figures on black",
    "blurred": "what the camera sees, and people so that they cannot be recognised",
    "full": "what the camera sees",
}
"""Pictures may show this."""

_EVERYBODY: Final = "0.0.0.0"  # noqa: S104 asked for, and behind a token

_TOKEN_BYTES: Final = 16


class ViewQuestion:
    """Asks for the live view and its pictures.

    Args:
        given: on the command line.
        answers: where the settings go.
        prompt: asks.
    """

    def __init__(self, given: Given, answers: Answers, prompt: Prompt) -> None:
        self._given = given
        self._answers = answers
        self._prompt = prompt

    def check_flags(self) -> None:
        """Refuse words that are none of those.

        Raises:
            ConfigError: a flag has another word.
        """
        for flag, given, words in (
            ("--web", self._given.web, VIEWS),
            ("--pictures", self._given.pictures, PICTURES),
        ):
            if given is not None:
                _check(flag, given, words)

    def ask(self) -> None:
        """Ask who may open the page and, if there is one, what pictures show; nothing is opened unasked."""
        self._prompt.until_taken(self._given.web, self._ask_view, self._take_view)
        self._prompt.until_taken(self._given.pictures, self._ask_pictures, self._take_pictures)

    def _ask_view(self) -> str:
        if not self._prompt.interactive:
            return "off"
        say("The live view is a web page that shows who is where, and falls first.")
        return self._prompt.choose("Live view", "or a word", list(VIEWS.items()), with_default=True)

    def _take_view(self, word: str) -> bool:
        _check("live view", word, VIEWS)
        self._answers.set("web.enabled", word != "off" or None)
        opened = word == "network"
        self._answers.set("web.host", _EVERYBODY if opened else None)
        self._answers.set("web.token", Secret("web", secrets.token_hex(_TOKEN_BYTES)) if opened else None)
        return True

    def _ask_pictures(self) -> str:
        if not self._prompt.interactive or "web.enabled" not in self._answers.settings:
            return "off"
        say("Pictures, on the page and in snapshots over MQTT, may show:")
        return self._prompt.choose("Pictures", "or a word", list(PICTURES.items()), with_default=True)

    def _take_pictures(self, word: str) -> bool:
        _check("pictures", word, PICTURES)
        self._answers.set("privacy.pictures", word if word != "off" else None)
        return True


def _check(what: str, word: str, words: dict[str, str]) -> None:
    if word not in words:
        *others, last = words
        raise ConfigError([f"{what}: must be {', '.join(others)} or {last}, got {word!r}"])
