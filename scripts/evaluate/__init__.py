"""Measures what posed says of people, on labelled footage of real ones."""
