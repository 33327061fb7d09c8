"""Tests of posed in a real system: other brokers, a browser, Home Assistant, a booted systemd, faults, a day.

They are marked `system`, which `scripts/test --all` runs, or `release`, which only `scripts/test --release`
does. One file alone: `pytest -m system tests/system/test_faults.py`. What a test needs it installs itself
where it is root; where it cannot run it is skipped, and says why.
"""
