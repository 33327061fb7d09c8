"""Changes cameras in the text of a configuration; the rest stays as its owner wrote it, comments too."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

import yaml

from posed.commands.setup.secret import Secret, scalar
from posed.config.yaml_file import UNREADABLE, PlainLoader, parse_yaml

ORDER: Final = ("kind", "source", "username", "password")
"""These settings of a camera are written, in this order."""

_CAMERAS: Final = "cameras"


class CannotEdit(Exception):
    """The text is laid out in a way in which nothing can be changed."""


class _Reader(PlainLoader):
    """Reads the names of secrets, not the secrets."""


def _construct_secret(loader: _Reader, node: Any) -> Secret:
    return Secret(str(loader.construct_scalar(node)), "")


_Reader.add_constructor("!secret", _construct_secret)


def with_camera(text: str, name: str, settings: Mapping[str, Any]) -> str:
    """The text with a camera that has these settings, and no others of `ORDER`.

    Args:
        text: a configuration that is good.
        name: of the camera, which may be there already.
        settings: by name; a `Secret` where the value must not be seen.

    Raises:
        CannotEdit: the text is laid out in a way in which nothing can be changed.
    """
    wanted = _wanted(parse_yaml(text, _Reader), name, settings)
    path = (_CAMERAS, name)
    if isinstance(_value_at(text, path), yaml.MappingNode):
        for setting in ORDER:
            if setting in settings:
                text = _set(text, path, setting, scalar(settings[setting]))
            else:
                text = _unset(text, path, setting)
    else:
        text = _add(text, name, settings)
    try:
        is_done = parse_yaml(text, _Reader) == wanted
    except UNREADABLE:
        is_done = False
    if not is_done:
        raise CannotEdit
    return text


def _wanted(tree: dict[str, Any], name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the text is to mean."""
    tree = copy.deepcopy(tree)
    cameras = tree.get(_CAMERAS) or {}
    kept = {key: value for key, value in (cameras.get(name) or {}).items() if key not in ORDER}
    named = {
        key: Secret(value.name, "") if isinstance(value, Secret) else value for key, value in settings.items()
    }
    return tree | {_CAMERAS: cameras | {name: kept | named}}


# The parts of a text


def _value_at(text: str, path: tuple[str, ...]) -> yaml.Node | None:
    """What stands at a path, with its place in the text; None where nothing does."""
    loader = _Reader(text)
    try:
        node = loader.get_single_node()
    finally:
        loader.dispose()
    for key in path:
        pair = _pair(node, key)
        if pair is None:
            return None
        node = pair[1]
    return node


def _pair(node: yaml.Node | None, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    """A key of a mapping and its value."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next((pair for pair in pairs if pair[0].value == key), None)


def _mapping_at(text: str, path: tuple[str, ...]) -> yaml.MappingNode:
    node = _value_at(text, path)
    if not isinstance(node, yaml.MappingNode):
        raise CannotEdit
    return node


def _end_line(node: yaml.Node) -> int:
    """The number of the line after the last one of a node, without comments behind it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end_line(last[1] if isinstance(last, tuple) else last)
    return node.end_mark.line + (node.end_mark.column > 0)


# Changes of a text


def _set(text: str, path: tuple[str, ...], key: str, value: str) -> str:
    """Give a setting of a mapping another value, or add it behind those that come before it."""
    mapping = _mapping_at(text, path)
    if (pair := _pair(mapping, key)) is not None:
        start, end = pair[1].start_mark.index, pair[1].end_mark.index
        return text[:start] + (" " if start == end else "") + value + text[end:]
    if mapping.flow_style:
        return _add_to_flow(text, mapping, f"{key}: {value}")
    before = [pair for name in ORDER[: ORDER.index(key)] if (pair := _pair(mapping, name))]
    first_key = mapping.value[0][0]
    line = _end_line(before[-1][1]) if before else first_key.start_mark.line
    return _insert(text, line, [f"{' ' * first_key.start_mark.column}{key}: {value}"])


def _unset(text: str, path: tuple[str, ...], key: str) -> str:
    """Remove a setting of a mapping, if it is there."""
    mapping = _mapping_at(text, path)
    pair = _pair(mapping, key)
    if pair is None:
        return text
    if not mapping.flow_style:
        lines = text.splitlines(keepends=True)
        return "".join(lines[: pair[0].start_mark.line] + lines[_end_line(pair[1]) :])
    place = mapping.value.index(pair)
    if place:
        start, end = mapping.value[place - 1][1].end_mark.index, pair[1].end_mark.index
    else:
        following = mapping.value[1:2]
        start = pair[0].start_mark.index
        end = following[0][0].start_mark.index if following else pair[1].end_mark.index
    return text[:start] + text[end:]


def _add(text: str, name: str, settings: Mapping[str, Any]) -> str:
    """Add a camera behind the others."""
    pairs = [f"{key}: {scalar(settings[key])}" for key in ORDER if key in settings]
    in_flow = f"{{{', '.join(pairs)}}}"
    root = _mapping_at(text, ())
    section = _pair(root, _CAMERAS)
    if section is None:
        if root.flow_style:
            return _add_to_flow(text, root, f"{_CAMERAS}: {{{name}: {in_flow}}}")
        text = text if text.endswith("\n") else text + "\n"
        return "\n".join([text, f"{_CAMERAS}:", *camera_lines(name, pairs, "  "), ""])
    key, cameras = section
    if not isinstance(cameras, yaml.MappingNode):
        return _insert(text, _end_line(key), camera_lines(name, pairs, "  "))
    if (empty := _pair(cameras, name)) is not None:
        end = empty[1].end_mark.index
        return f"{text[:end]} {in_flow}{text[end:]}"
    if cameras.flow_style:
        return _add_to_flow(text, cameras, f"{name}: {in_flow}")
    indent = " " * cameras.value[0][0].start_mark.column
    line = _behind_comments(text, _end_line(cameras), len(indent))
    return _insert(text, line, camera_lines(name, pairs, indent))


def camera_lines(name: str, pairs: list[str], indent: str) -> list[str]:
    """A camera of its own lines.

    Args:
        name: of the camera.
        pairs: its settings, each as `key: value`.
        indent: the spaces before its name.
    """
    return [f"{indent}{name}:", *(f"{indent}  {pair}" for pair in pairs)]


def _add_to_flow(text: str, mapping: yaml.MappingNode, pair: str) -> str:
    """Add to a mapping in braces."""
    if mapping.value:
        end = mapping.value[-1][1].end_mark.index
        return f"{text[:end]}, {pair}{text[end:]}"
    end = mapping.end_mark.index - 1
    return text[:end] + pair + text[end:]


def _insert(text: str, line: int, new: list[str]) -> str:
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    return "".join([*lines[:line], *(f"{one}\n" for one in new), *lines[line:]])


def _behind_comments(text: str, line: int, indent: int) -> int:
    """The line behind the comments that follow, as far as they are of the camera before.

    Args:
        text: of the configuration.
        line: where the camera ends.
        indent: how far its name is indented, which its comments are further.
    """
    lines, end = text.splitlines(), line
    for number, found in enumerate(lines[line:], start=line + 1):
        stripped = found.lstrip()
        if stripped and not (stripped.startswith("#") and len(found) - len(stripped) > indent):
            break
        end = number if stripped else end
    return end
