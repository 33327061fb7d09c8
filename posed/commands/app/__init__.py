"""posed as an app of Home Assistant: its options and its broker come from the Supervisor."""

from __future__ import annotations

from posed.commands.app.run import run_app

__all__ = ["run_app"]
