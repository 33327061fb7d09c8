"""Settings as nested mappings, before they are a `Config`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from posed.config.settings import ZONES


def merge(tree: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Put the settings of a later source into those of earlier ones."""
    for key, value in later.items():
        if isinstance(value, Mapping) and key != ZONES:
            inner = tree.get(key)
            tree[key] = dict(inner) if isinstance(inner, Mapping) else {}
            merge(tree[key], value)
        else:
            tree[key] = value


def nest(where: tuple[str, ...], value: Any) -> dict[str, Any]:
    """A tree with a single value in it, at this path."""
    for key in reversed(where):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def leaves(tree: Mapping[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of all settings that have a value."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and key != ZONES:
            yield from leaves(value, (*path, str(key)))
        else:
            yield (*path, str(key))


def value_at(tree: Any, where: Iterable[str]) -> Any:
    """The value, or the section, at a path.

    Raises:
        KeyError: it is not there.
        TypeError: a value stands where a section should.
    """
    for key in where:
        tree = dict.__getitem__(tree, key)
    return tree


def is_there(tree: Any, where: Iterable[str]) -> bool:
    """Whether there is a value, or a section, at a path."""
    try:
        value_at(tree, where)
    except (KeyError, TypeError):
        return False
    return True


def take_out(tree: Any, where: Iterable[str | int]) -> bool:
    """Remove what stands at a path, or the part of it that exists; False where nothing does."""
    *parents, last = where
    for key in parents:
        if not isinstance(tree, dict) or not isinstance(tree.get(key), dict):
            last = key
            break
        tree = tree[key]
    return isinstance(tree, dict) and tree.pop(last, tree) is not tree
