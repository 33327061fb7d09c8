"""The dashboard of config/grafana, as far as others hold it against what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).resolve().parent.parent / "config" / "grafana" / "posed.json"

_NAME = re.compile(r"\b(?:posed|process)_[a-z_]+")


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def expressions() -> Iterator[tuple[str, str]]:
    """(title of the panel, PromQL) of every query."""
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def filled_in(expression: str, interval: str = "10s") -> str:
    """An expression as Grafana sends it, for all devices."""
    return expression.replace("$__rate_interval", interval).replace("$instance", ".*")


def names_in(expression: str) -> set[str]:
    """The series that it reads."""
    return set(_NAME.findall(expression))
