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


def queried() -> Iterator[dict[str, Any]]:
    """Every panel that asks for something: all but the heads of rows."""
    return (panel for panel in dashboard()["panels"] if panel["type"] != "row")


def rows() -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """The head of each row, and the panels below it."""
    found: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    for panel in dashboard()["panels"]:
        if panel["type"] == "row":
            found.append((panel, []))
        elif found:
            found[-1][1].append(panel)
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """(title of the panel, PromQL) of every query."""
    for panel in queried():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def filled_in(expression: str, interval: str = "10s") -> str:
    """An expression as Grafana sends it, for all devices and all cameras."""
    filled = expression.replace("$__rate_interval", interval)
    return filled.replace("$instance", ".*").replace("$camera", ".*")


def names_in(expression: str) -> set[str]:
    """The series that it reads."""
    return set(_NAME.findall(expression))
