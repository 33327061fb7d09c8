"""How `posed setup` asks somebody, or does without where nobody can be asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import typer

from posed.errors import ConfigError, PosedError


class Prompt:
    """Asks at the terminal.

    Args:
        interactive: whether somebody can be asked.
        force: whether an answer that failed its test is kept where nobody can be asked.

    Attributes:
        interactive: whether somebody can be asked.
    """

    def __init__(self, *, interactive: bool, force: bool) -> None:
        self.interactive = interactive
        self._force = force

    def until_taken(self, answer: str | None, ask: Callable[[], str], take: Callable[[str], bool]) -> None:
        """Ask until an answer is taken.

        Args:
            answer: the first answer, given already; None to ask for it.
            ask: asks for an answer.
            take: takes an answer; False where another is wanted.

        Raises:
            ConfigError: the answer is against a rule, and nobody can be asked for another.
        """
        while True:
            try:
                if take(ask() if answer is None else answer):
                    return
            except ConfigError as error:
                if not self.interactive:
                    raise
                say(str(error))
            answer = None

    def keep(self, error: PosedError) -> bool:
        """Whether an answer that failed its test is taken all the same.

        Raises:
            PosedError: the error itself, where nobody can be asked and nothing is forced.
        """
        if not self.interactive and not self._force:
            raise error
        say(str(error))
        if self.interactive:
            return typer.confirm("Keep it anyway?", default=False)
        say("kept anyway (--force)")
        return True

    def choose(self, what: str, else_: str, found: Sequence[tuple[str, str]], *, with_default: bool) -> str:
        """One of the found answers by its number, or a typed one; the first where nobody can be asked.

        Args:
            what: the question, such as `Camera`.
            else_: what may be typed instead of a number.
            found: the answers to choose from, each with a note.
            with_default: whether the first of them is taken where nothing is typed.

        Raises:
            ConfigError: there is no answer of this number.
        """
        if not self.interactive:
            answer, note = found[0]
            say(f"{what.lower()}: {answer} ({note})")
            return answer
        for number, (answer, note) in enumerate(found, start=1):
            say(f"  {number}  {answer}  ({note})")
        question = f"{what}: {'number, ' if found else ''}{else_}"
        text: str = typer.prompt(question, default="1" if with_default else None)
        return _chosen(what, text, [answer for answer, _ in found])


def say(text: str) -> None:
    """Print a line."""
    typer.echo(text)


def _chosen(what: str, text: str, answers: Sequence[str]) -> str:
    number = int(text) if text.isdecimal() else 0
    if answers and number > len(answers):
        raise ConfigError([f"{what.lower()}: must be a number from 1 to {len(answers)}, got {text}"])
    return answers[number - 1] if 1 <= number <= len(answers) else text
