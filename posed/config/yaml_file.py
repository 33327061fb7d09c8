"""YAML from an owner's hand or a worn SD card, read so that nothing in it takes long, crashes or is shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml

from posed.config.wording import masked, reason
from posed.errors import ConfigError

MOST_BYTES: Final = 64 * 1024
"""A YAML file may be this large: 50 zones of 50 points are 40 KB. Reading that much takes a second or two."""

_LARGEST: Final = 2**63
"""No number of ours is this large; one that is, is not even written into a message."""

_NO_VALUE: Final = (ValueError, TypeError, AttributeError, OverflowError, LookupError)
"""PyYAML raises these for a value that is not of the type that it claims to be (`!!timestamp abc`)."""

UNREADABLE: Final = (yaml.YAMLError, RecursionError, *_NO_VALUE)
"""PyYAML raises these for text that is not YAML."""

_OTHER_THAN_TEXT: Final = {
    f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "null", "timestamp", "value")
}
"""YAML takes plain text for one of these: `no` for false, `007` for 7."""

_NULL: Final = "tag:yaml.org,2002:null"

SECRETS: Final = {"password", "token"}
"""These settings hold secrets. One that is left empty was most often meant to be text that begins with #."""

COMMENT: Final = "(what follows a # is a comment: put it in quotes)"

_NO_TAG: Final = "no such tag is known (put text that begins with ! in quotes)"


class PlainLoader(yaml.SafeLoader):
    """Safe YAML with no repeated keys, no aliases, whose expansion has no bound, and no odd numbers.

    Those are huge ones, and YAML 1.1's `1:30` for 90, of which 64 KiB take seconds.
    """

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse an anchor or alias before anything is built from it."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        # Not by name: it may be a password.
        if getattr(event, "anchor", None) is not None:
            rule = "anchors and aliases are not allowed (put text that begins with & or * in quotes)"
            raise yaml.composer.ComposerError(None, None, rule, event.start_mark)
        return super().compose_node(parent, index)

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """Refuse a value that is not of the type that its tag claims."""
        try:
            return super().construct_object(node, deep)
        except _NO_VALUE:
            # Without the reason, which shows the value.
            raise _refusal(node, "must be a value of its type (put text in quotes)") from None

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Refuse passwords that are left empty, and names that repeat or are lists.

        Names are taken as they are written: a zone may be called `no`.
        """
        seen: set[Any] = set()
        for key_node, value_node in node.value:
            key = key_node.value
            if not isinstance(key, str):
                raise _refusal(key_node, "a setting's name must be plain text")
            if key in seen:
                raise _refusal(key_node, f"the key {masked(key)!r} stands here twice")
            seen.add(key)
            if key in SECRETS and value_node.value == "" and value_node.tag == _NULL:
                raise _refusal(value_node, f"{key} has no value {COMMENT}")
            if key_node.tag in _OTHER_THAN_TEXT:
                key_node.tag = self.DEFAULT_SCALAR_TAG
        return super().construct_mapping(node, deep)

    def construct_yaml_int(self, node: Any) -> int:
        """Refuse whole numbers that are huge or have colons."""
        _refuse_colons(node)
        value = int(super().construct_yaml_int(node))
        if abs(value) >= _LARGEST:
            raise _refusal(node, "a number must have at most 18 digits")
        return value

    def construct_yaml_float(self, node: Any) -> float:
        """Refuse numbers that have colons."""
        _refuse_colons(node)
        return float(super().construct_yaml_float(node))


def _refusal(node: Any, rule: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, rule, node.start_mark)


def _refuse_colons(node: Any) -> None:
    if ":" in node.value:
        raise _refusal(node, "a number must have no colons (put text in quotes)")


def _refuse_tag(_loader: PlainLoader, node: Any) -> None:
    """Refuse a tag without its name: it may be a password that begins with an exclamation mark."""
    raise _refusal(node, _NO_TAG)


PlainLoader.add_constructor(None, _refuse_tag)
PlainLoader.add_constructor("tag:yaml.org,2002:int", PlainLoader.construct_yaml_int)
PlainLoader.add_constructor("tag:yaml.org,2002:float", PlainLoader.construct_yaml_float)


def read_yaml(path: Path, loader: Callable[[str], PlainLoader] = PlainLoader) -> dict[str, Any]:
    """The settings of a file; none where it is empty.

    Args:
        path: the file.
        loader: makes what turns its text into values.

    Raises:
        ConfigError: the file cannot be read or is no YAML.
    """
    tree = _parsed(path, _text_of(path), loader)
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        # Not what it is: it may be a secret whose name was forgotten.
        what = "a list" if isinstance(tree, list) else "a single value"
        raise ConfigError([f"{path}: must be settings as `name: value`, got {what}"])
    return tree


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: must be a readable YAML file ({reason(error)})"]) from None
    if len(content) > MOST_BYTES:
        raise ConfigError([f"{path}: must be at most {MOST_BYTES} bytes, got more"])
    return text


def _parsed(path: Path, text: str, loader: Callable[[str], PlainLoader]) -> Any:
    try:
        return parse_yaml(text, loader)
    except yaml.MarkedYAMLError as error:
        raise ConfigError([f"{path}{_place_and_problem(error)}"]) from None
    except yaml.reader.ReaderError as error:
        raise ConfigError([f"{path}: must be YAML, got {' '.join(str(error).split())}"]) from None
    except UNREADABLE as error:
        raise ConfigError([f"{path}: must be YAML, got {type(error).__name__}"]) from None


def _place_and_problem(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
    problem = error.problem or error.context or ""
    if "tag handle" in problem:  # which may be a part of a password that begins with an exclamation mark
        problem = _NO_TAG
    return f"{place}: {problem}{_remedy(error, problem)}"


def _remedy(error: yaml.MarkedYAMLError, problem: str) -> str:
    """What helps where the text is no YAML: most often it is a password or a URL without quotes."""
    if not isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError) or problem == _NO_TAG:
        return ""
    if r"'\t'" in problem:
        return " (indent with spaces, not with tabs)"
    # What is never closed is noticed at the end of the file, far from where it is.
    is_open = "flow" in (error.context or "") or "quoted" in (error.context or "")
    begin = f", in line {error.context_mark.line + 1}" if is_open and error.context_mark else ""
    return f" (put text with special characters in quotes{begin})"


def parse_yaml(text: str, loader: Callable[[str], PlainLoader] = PlainLoader) -> Any:
    """The value that a YAML text stands for.

    Raises:
        One of `UNREADABLE`: it is not YAML, or has something in it that we refuse.
    """
    parser = loader(text)
    try:
        return parser.get_single_data()
    finally:
        parser.dispose()
