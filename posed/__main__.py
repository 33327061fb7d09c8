"""`posed`, and `python -m posed`: what cannot wait for the import of the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run a command."""
    if sys.argv[1:2] in (["run"], ["app"]):
        from posed.service.first_signals import hear_first_signals

        hear_first_signals()
    if sys.argv[1:2] == ["health"]:
        from posed.commands.health import answer_at_once

        answer_at_once(sys.argv[2:])
    from posed.cli import main as run_command

    run_command()


if __name__ == "__main__":
    main()
