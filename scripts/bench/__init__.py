"""Measurements of speed, each a module: `scripts/python bench.NAME --help`."""
