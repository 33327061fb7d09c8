"""Draws the icon and the logo of the Home Assistant app from the live view's icon, with Chromium.

    scripts/python draw_app [FOLDER]     default: config/homeassistant/app

icon.png has 128x128 px, logo.png 250x100, as Home Assistant's developer docs ask for.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import cv2

from scripts.paths import ROOT

APP: Final = ROOT / "config" / "homeassistant" / "app"
ICON: Final = ROOT / "posed" / "web" / "static" / "icon.svg"

SIZES: Final = {"icon.png": (128, 128), "logo.png": (250, 100)}
"""Width and height in px. Source: developers.home-assistant.io, "Presenting your app"."""

_PAGE: Final = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; width: {width}px; height: {height}px; display: flex; align-items: center; gap: 12px;
  justify-content: center; font: 600 44px "DejaVu Sans", sans-serif; color: #2fa396 }}
svg {{ width: {side}px; height: {side}px }}
</style>{icon}{text}"""


def main() -> int:
    """Write both pictures; returns the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/python draw_app", description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=APP, help="where to")
    folder: Path = parser.parse_args().folder
    chromium = shutil.which("chromium")
    if chromium is None:
        print("needs Chromium: sudo apt-get install chromium", file=sys.stderr)
        return 1
    for name in SIZES:
        draw(chromium, folder / name)
        print(folder / name)
    return 0


def draw(chromium: str, picture: Path) -> None:
    """Draw one of them; around the icon it is transparent."""
    width, height = SIZES[picture.name]
    is_logo = width != height
    html = _PAGE.format(
        width=width,
        height=height,
        side=72 if is_logo else height,
        icon=ICON.read_text(encoding="utf-8"),
        text="<span>posed</span>" if is_logo else "",
    )
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "page.html"
        source.write_text(html, encoding="utf-8")
        command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += ["--default-background-color=00000000", "--window-size=800,600"]
        command += [f"--user-data-dir={folder}/profile", f"--screenshot={folder}/page.png"]
        subprocess.run([*command, source.as_uri()], check=True, capture_output=True, timeout=120)
        # A window as small as these is not drawn whole.
        page_image = cv2.imread(f"{folder}/page.png", cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(picture), page_image[:height, :width])


if __name__ == "__main__":
    sys.exit(main())
