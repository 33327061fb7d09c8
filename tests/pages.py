"""The documentation as data: the fenced blocks, commands, links and headings of each page."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scripts.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = sorted((ROOT / "config").rglob("*.yaml"))

_FENCE = re.compile(r"^(\s*)```(.*)$")
_CODE = re.compile(r"(`+)(.+?)\1(?!`)")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_OURS = re.compile(r"(sudo )?(VENV/bin/)?(posed [a-z-]|scripts/[a-z])")


@dataclass(frozen=True)
class Block:
    """What stands between two fences; `kind` is the whole info string, such as `json state`."""

    page: Path
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """One command line, in words; `runs` says that it stands in a block, not in a sentence."""

    where: str
    words: tuple[str, ...]
    runs: bool

    def __str__(self) -> str:
        return shlex.join(self.words)


def blocks(page: Path) -> list[Block]:
    """Every fenced block.

    Raises:
        AssertionError: a block is indented instead, so that nothing says what it is, or has no end.
    """
    found: list[Block] = []
    begun: tuple[int, str] | None = None
    inside: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if begun is None and fence is None:
            assert not line.startswith("    "), (
                f"{page.name}:{number}: fence this block: ```sh, ```yaml, ```json state, …"
            )
        elif begun is None and fence is not None:
            begun, inside = (number, fence[2].strip()), []
        elif begun is not None and fence is not None:
            found.append(Block(page, *begun, "\n".join(inside) + "\n"))
            begun = None
        else:
            inside.append(line)
    assert begun is None, f"{page.name}:{begun}: this block has no end"
    return found


@cache
def all_blocks() -> list[Block]:
    return [block for page in PAGES for block in blocks(page)]


def prose(page: Path) -> str:
    """A page without its blocks."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^\s*```.*?^\s*```$", "", text, flags=re.MULTILINE | re.DOTALL)


def spans(text: str) -> list[str]:
    """What stands between backticks, in a page's prose or a file's comment."""
    return [match[2].strip() for match in _CODE.finditer(text)]


@cache
def commands() -> list[Command]:
    """Every command line: those in blocks, and ours in sentences and in the comments of configurations."""
    return [*_of_blocks(), *_of_sentences(), *_of_comments()]


def _of_blocks() -> Iterator[Command]:
    for block in all_blocks():
        if block.kind == "sh":
            for number, line in enumerate(block.text.splitlines(), block.line + 1):
                if words := _words(line):
                    yield Command(f"{block.page.name}:{number}", words, runs=True)


def _of_sentences() -> Iterator[Command]:
    for page in PAGES:
        for span in spans(prose(page)):
            if _OURS.match(span):
                yield Command(page.name, _words(span), runs=False)


def _of_comments() -> Iterator[Command]:
    for config in CONFIGS:
        comments = re.findall(r"#(.*)", config.read_text(encoding="utf-8"))
        lines = [comment.strip().partition("   ")[0] for comment in comments]
        for text in [*lines, *spans("\n".join(comments))]:
            if _OURS.match(text) and "`" not in text:
                yield Command(config.name, _words(text), runs=False)


def _words(line: str) -> tuple[str, ...]:
    """The words of a command without `sudo`, and without the & that leaves it running."""
    words = shlex.split(line, comments=True)
    if words[:1] == ["sudo"]:
        del words[0]
    if words[-1:] == ["&"]:
        del words[-1]
    return tuple(words)


def links(page: Path) -> list[str]:
    """Where a page points to."""
    return _LINK.findall(prose(page))


@cache
def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(page: Path, heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, without its head."""
    below = prose(page).split(f"# {heading}\n", 1)[1].split("\n#", 1)[0]
    rows = [line for line in below.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows[2:]]
