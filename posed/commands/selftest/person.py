"""Who pulls the plug."""

from __future__ import annotations

import sys
from typing import Protocol

import typer


class Person(Protocol):
    """Somebody at the machine, or nobody."""

    @property
    def is_there(self) -> bool:
        """Whether somebody can be asked to do something."""
        ...

    def ask(self, what: str) -> None:
        """Say what is to be done now; whether it is done shows by itself."""
        ...


class AtTerminal:
    """Somebody at the terminal, where there is one.

    Args:
        may_be_asked: False where nobody is to be asked.
    """

    def __init__(self, *, may_be_asked: bool) -> None:
        self._may_be_asked = may_be_asked

    @property
    def is_there(self) -> bool:
        """Whether there is a terminal, and nobody said that it is not to be used."""
        return self._may_be_asked and sys.stdin.isatty() and sys.stderr.isatty()

    def ask(self, what: str) -> None:
        """Print it where it is seen also if the checks go into a file."""
        typer.secho(what, bold=True, err=True)
