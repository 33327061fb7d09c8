"""What a person runs: `scripts/python NAME` from any folder, or `python -m scripts.NAME` from the root."""
