"""What is reported to fit: drivers of PCIe Edge TPUs and kernels, libedgetpus and runtimes.

Owners and authors say so in the issues that are named; nothing of it was tried here. docs/hardware.md has the
same tables, and a test holds it against these.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

Version = tuple[int, ...]

GOOD_DRIVER: Final = "feranick's gasket-dkms 1.0-18.4"
GOOD_LIBRARY: Final = "feranick's libedgetpu 16.0TF2.17.1 or later"
NEWEST_KERNEL: Final = "6.17"
"""Up to this kernel `GOOD_DRIVER` is reported to build and work."""


@dataclass(frozen=True, slots=True)
class Report:
    """What somebody reports of two things in some versions together.

    Args:
        versions: the first and the last of the driver or library; empty where there is no bound.
        other: what it is to fit: `kernel`, or a runtime's name.
        others: the first and the last version of that; empty where there is no bound.
        works: whether they are said to fit.
        source: who says so.
    """

    versions: tuple[Version, Version]
    other: str
    others: tuple[Version, Version]
    works: bool
    source: str

    @property
    def words(self) -> str:
        """For people, behind the names of both."""
        return f"reported to {'work' if self.works else 'fail'} ({self.source})"


DRIVERS: Final = (
    # Google's package; its sources, built later under the same version, get further.
    Report(((1, 0, 18), (1, 0, 18)), "kernel", ((), (6, 3)), True, "google-coral/edgetpu#695"),
    Report(((1, 0, 18), (1, 0, 18)), "kernel", ((6, 4), ()), False, "google-coral/edgetpu#808"),
    Report(((1, 0, 18, 4), (1, 0, 18, 4)), "kernel", ((), (6, 17)), True, "google/gasket-driver#50"),
    Report(
        ((1, 0, 18, 4), (1, 0, 18, 4)), "kernel", ((6, 18), (6, 18)), False, "glossyio/traffic-monitor#171"
    ),
)
"""gasket-dkms, by the versions of Debian's packages, and kernels."""

LIBRARIES: Final = (
    Report(((16, 0), (16, 0)), "ai-edge-litert", ((), ()), False, "google-coral/edgetpu#812"),
    Report(((16, 0), (16, 0)), "tflite-runtime", ((), (2, 11)), True, "google-coral/edgetpu#812"),
    Report(((16, 0), (16, 0)), "tflite-runtime", ((2, 12), ()), False, "google-coral/edgetpu#812"),
    Report(((16, 0, 2, 17, 1), ()), "ai-edge-litert", ((), ()), True, "google-ai-edge/LiteRT#3611"),
)
"""libedgetpu1-std and -max, by the versions of Debian's packages, and runtimes: 16.0 is Google's."""


def driver_report(package: str, kernel: str) -> Report | None:
    """What is reported of a gasket-dkms with a kernel; None where nothing is.

    Args:
        package: version of the Debian package, such as `1.0-18.4`.
        kernel: its release, such as `6.12.47+rpt-rpi-v8`.
    """
    return _found(DRIVERS, package, "kernel", kernel)


def library_report(package: str, runtime: str) -> Report | None:
    """What is reported of a libedgetpu with a runtime; None where nothing is.

    Args:
        package: version of the Debian package, such as `16.0tf2.19.1-1`.
        runtime: its name and version, such as `ai-edge-litert 2.3.0`.
    """
    return _found(LIBRARIES, package, *runtime.partition(" ")[::2])


def _found(reports: Iterable[Report], version: str, other: str, other_version: str) -> Report | None:
    ours, theirs = _numbers(version), _numbers(other_version)[:2]
    if not ours or not theirs:
        return None
    fitting = (
        report
        for report in reports
        if report.other == other and _within(ours, report.versions) and _within(theirs, report.others)
    )
    return next(fitting, None)


def _numbers(version: str) -> Version:
    return tuple(map(int, re.findall(r"\d+", version)))


def _within(version: Version, bounds: tuple[Version, Version]) -> bool:
    first, last = bounds
    return first <= version and (not last or version <= last)
