"""What is reported to fit, looked up by the versions of packages, kernels and runtimes."""

from __future__ import annotations

import pytest

from posed.engine.reported import DRIVERS, LIBRARIES, driver_report, library_report
from scripts.paths import ROOT


@pytest.mark.parametrize(
    ("package", "kernel", "works"),
    [
        ("1.0-18", "6.1.0-40-arm64", True),
        ("1.0-18", "6.3.13", True),
        ("1.0-18", "6.4.0", False),
        ("1.0-18", "6.12.47+rpt-rpi-v8", False),
        ("1.0-18.4", "6.12.47+rpt-rpi-v8", True),
        ("1.0-18.4", "6.17.13-2-pve", True),
        ("1.0-18.4", "6.18.34+rpt-rpi-2712", False),
        ("1.0-18.4", "6.19.7-200.fc43", None),
        ("1.0-18.4", "7.0.2-2-pve", None),
        ("1.0-18.2", "6.12.47+rpt-rpi-v8", None),
        ("", "6.12.47+rpt-rpi-v8", None),
        ("1.0-18.4", "unknown", None),
    ],
)
def test_a_driver_is_known_by_package_and_kernel(package, kernel, works):
    report = driver_report(package, kernel)
    assert (report and report.works) is works


@pytest.mark.parametrize(
    ("package", "runtime", "works"),
    [
        ("16.0", "ai-edge-litert 2.3.0", False),
        ("16.0", "tflite-runtime 2.11.0", True),
        ("16.0", "tflite-runtime 2.14.0", False),
        ("16.0tf2.17.1-1", "ai-edge-litert 2.3.0", True),
        ("16.0TF2.19.1-1.bookworm", "ai-edge-litert 1.2.0", True),
        ("16.0tf2.15.0-1", "ai-edge-litert 2.3.0", None),
        ("16.0tf2.19.1-1", "tflite-runtime 2.14.0", None),
        ("", "ai-edge-litert 2.3.0", None),
    ],
)
def test_a_library_is_known_by_package_and_runtime(package, runtime, works):
    report = library_report(package, runtime)
    assert (report and report.works) is works


def test_the_documentation_names_every_source():
    page = (ROOT / "docs/hardware.md").read_text(encoding="utf-8")
    for report in (*DRIVERS, *LIBRARIES):
        repository, _, number = report.source.partition("#")
        name = f"[{repository.partition('/')[2]}#{number}](https://github.com/{repository}/"
        assert name in page, report.source
