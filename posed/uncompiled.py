"""What files that are compiled need of the package `cython` where that is missing: names that do nothing.

The compiler replaces them all. Cython's own stand-in is part of the whole compiler, which a device that runs
posed has no other use for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

compiled: Final = False


class _Type:
    """A C type: only ever named, or indexed to say that it is an array's."""

    def __getitem__(self, _: Any) -> _Type:
        return self


class _NoGil:
    """`with cython.nogil:` and `@cython.nogil`."""

    def __call__(self, function: Any) -> Any:
        return function

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


const = uchar = schar = float = int = double = Py_ssize_t = bint = void = _Type()  # noqa: A001
nogil = _NoGil()


def fused_type(*_: _Type) -> _Type:
    """Any of these types."""
    return _Type()


def declare(_: _Type, value: Any) -> Any:
    """A C variable."""
    return value


def cfunc(function: Any) -> Any:
    """A C function."""
    return function


inline = cclass = cfunc


def exceptval(*, check: bool) -> Callable[[Any], Any]:  # noqa: ARG001
    """What a C function returns when it fails."""
    return cfunc


def cast(_: _Type, value: Any) -> Any:
    """A conversion of C."""
    return value
