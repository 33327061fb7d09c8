"""Settings as nested mappings, before they are a `Config`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from posed.config.settings import NAMED_BY_OWNER


def merge(tree: dict[str, Any], later: Mapping[str, Any]) -> None:
    """Put the settings of a later source into those of earlier ones."""
    for key, value in later.items():
        # What the owner has named is one setting: a later source has all of it.
        if isinstance(value, Mapping) and key != NAMED_BY_OWNER[-1]:
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
    """The paths of all values."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
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
