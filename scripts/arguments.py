"""Looks at the arguments of a script before anything is installed for it: shows its help, or what is wrong.

    python3 -m scripts.arguments NAME [ARGUMENT...]

Of the script's module it runs what the standard library alone can: the parser of its command line, and the
constants that this names. Exit status: 0 go on, 1 that was all, since help was asked for, 2 they are wrong.
"""

from __future__ import annotations

import argparse
import ast
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

FOLDER = Path(__file__).resolve().parent
GO_ON, HELP_SHOWN = 0, 1


class _GoodError(Exception):
    """The arguments are good: nothing after them is to be run."""


def main(name: str, arguments: list[str]) -> int:
    """Parse the arguments of the script of this name; returns the exit status."""
    file = FOLDER.joinpath(*name.split(".")).with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    names = _run(tree, {"__name__": name, "__file__": str(file), "__doc__": ast.get_docstring(tree)})
    sys.argv[1:] = arguments
    argparse.ArgumentParser.parse_args = _stop_after(argparse.ArgumentParser.parse_args)  # type: ignore[method-assign]
    try:
        names[_parser_of(tree)]()
    except SystemExit as ended:
        return HELP_SHOWN if not ended.code else 2
    except Exception:  # noqa: BLE001 a parser that needs more than there is comes later
        return GO_ON
    return GO_ON


def _run(tree: ast.Module, names: dict[str, Any]) -> dict[str, Any]:
    """What a module defines, less what needs libraries that are not there yet."""
    for statement in tree.body:
        # Text below a constant would be taken for the module's own.
        if isinstance(statement, ast.Expr):
            continue
        with suppress(Exception):
            exec(compile(ast.Module([statement], []), names["__file__"], "exec"), names)  # noqa: S102 our own
    return names


def _parser_of(tree: ast.Module) -> str:
    """The function that makes the parser of the command line."""
    return next(
        function.name
        for function in tree.body
        if isinstance(function, ast.FunctionDef) and "argparse.ArgumentParser(" in ast.unparse(function)
    )


def _stop_after(parse: Any) -> Any:
    def parse_and_stop(*given: Any) -> NoReturn:
        parse(*given)
        raise _GoodError

    return parse_and_stop


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
