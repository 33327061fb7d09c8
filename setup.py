"""Compiles the decoder where there is a C compiler; everything else is in pyproject.toml."""

from __future__ import annotations

import sys

from setuptools import Extension, setup

try:
    from Cython.Build import cythonize
except ImportError:  # without build isolation
    print("posed: Cython is missing, so the decoder stays uncompiled", file=sys.stderr)
    extensions = []
else:
    many = Extension(
        "posed.decode.many",
        ["posed/decode/many.py"],
        # Contracted multiply-adds, gcc's choice on aarch64, would round unlike the uncompiled file.
        extra_compile_args=["-O3", "-ffp-contract=off"],
    )
    extensions = cythonize([many], build_dir="build", language_level=3)
    # Where it cannot be compiled the build says so and goes on; many.py then runs as it is.
    for extension in extensions:
        extension.optional = True

setup(ext_modules=extensions)
