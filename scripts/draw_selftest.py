"""Draws the picture of `posed selftest`, and writes down what the model that posed brings says of it.

    scripts/python draw_selftest

Again when that model has been trained anew.
"""

from __future__ import annotations

import argparse

import cv2
import numpy as np

from posed.commands.selftest.engines import BUNDLED, EXPECTED, PICTURE, fitted
from posed.engine.tflite import open_cpu
from posed.networks.pair import load_pair
from posed.synthetic.scene import random_still

SEED, PEOPLE = 7, 2


def main() -> None:
    """Write both files into the package."""
    argparse.ArgumentParser(prog="scripts/python draw_selftest", description=__doc__).parse_args()
    pair = load_pair(BUNDLED)
    assert pair.cpu is not None
    image = random_still(SEED, pair.model.size, PEOPLE, tame=True).image
    cv2.imwrite(str(PICTURE), cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    with open_cpu(pair.cpu, 2, "draw_selftest") as engine:
        outputs = engine.infer(fitted(image, pair.model.size))
    np.savez_compressed(EXPECTED, **{str(index): output.data for index, output in enumerate(outputs)})


if __name__ == "__main__":
    main()
