"""Temperatures: the Edge TPU's, as the PCIe driver shows it, and the processor's."""

from __future__ import annotations

from pathlib import Path

import pytest

from posed.engine.temperature import INTERVAL_S, Thermometer, processor_c
from tests.clock import Clock


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, text in ((0, "42050\n"), (1, "61300\n")):
        (tmp_path / f"apex_{number}").mkdir()
        (tmp_path / f"apex_{number}" / "temp").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("kind", "device", "expected"),
    [
        ("edgetpu", "pci", 42.05),
        ("edgetpu", "pci:1", 61.3),
        ("edgetpu", "any", 42.05),
        ("edgetpu", "pci:7", None),
        ("edgetpu", "usb:0", None),
        ("cpu", "ai-edge-litert", None),
    ],
)
def test_modules_on_pcie_tell_and_nothing_else_does(folder, kind, device, expected):
    assert Thermometer(folder).read(kind, device) == expected


def test_it_is_looked_at_now_and_then(folder):
    clock = Clock(0.0)
    thermometer = Thermometer(folder, clock)
    assert thermometer.read("edgetpu", "pci") == 42.05
    (folder / "apex_0" / "temp").write_text("50000\n")
    assert thermometer.read("edgetpu", "pci") == 42.05
    clock.now_s = INTERVAL_S
    assert thermometer.read("edgetpu", "pci") == 50


@pytest.mark.parametrize("text", ["", "hot", "\xff"])
def test_a_driver_that_says_something_else_is_no_obstacle(folder, text):
    (folder / "apex_0" / "temp").write_text(text, encoding="latin-1")
    assert Thermometer(folder).read("edgetpu", "pci") is None


def thermal(folder: Path, **zones: int) -> Path:
    for number, (kind, millidegrees) in enumerate(zones.items()):
        zone = folder / f"class/thermal/thermal_zone{number}"
        zone.mkdir(parents=True)
        (zone / "type").write_text(f"{kind}\n")
        (zone / "temp").write_text(f"{millidegrees}\n")
    return folder


def test_the_processors_temperature_is_read(tmp_path):
    assert processor_c(thermal(tmp_path, acpitz=27800, cpu_thermal=61322)) == 61.322


def test_without_a_sensor_there_is_no_temperature(tmp_path):
    assert processor_c(tmp_path) is None
    assert processor_c(thermal(tmp_path, acpitz=27800)) is None
