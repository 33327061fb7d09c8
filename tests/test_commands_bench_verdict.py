"""What `posed bench` concludes: what limits the number of cameras, and the sentence that says it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from posed.commands.bench.capacity import Costs
from posed.commands.bench.verdict import costs_of, verdict

CHIP = Costs(inference_ms=5.0, own_ms=2.0, stream_cores=0.02, engine_cores=0.0, cores=4)


def camera(kind: str = "drawn", **changes: float) -> dict[str, Any]:
    """One of a fixed rate, with five people before it."""
    return {"kind": kind, "people": 4.7, "cpu_ms": 3.0, "crops_ms": 0.0} | changes


CORAL = {"kind": "edgetpu", "lost": None}


def figures(**changes: Any) -> dict[str, Any]:
    """Ten frames per second of one drawn camera, for each of which the engine takes 10 ms."""
    fields: dict[str, Any] = {
        "fps": 10.0,
        "engine": CORAL,
        "busy": 0.1,
        "invokes_per_s": 10.0,
        "cameras": {"hall": camera()},
        "cpu_percent": {
            "total": 26.0,
            "capture": 1.0,
            "invoke": 5.0,
            "decode": 2.0,
            "publish": 1.0,
            "hand-over": 1.0,
            "network thread": 1.0,
            "camera threads": 2.0,
            "library threads": 13.0,
        },
    }
    return fields | changes


def test_a_slow_engine_limits_the_cameras():
    assert replace(CHIP, inference_ms=20.0).cameras(10) == (4, "engine")


def test_posed_itself_limits_the_cameras():
    assert replace(CHIP, own_ms=10.0).cameras(10) == (7, "posed")


def test_decoding_limits_the_cameras():
    assert replace(CHIP, stream_cores=0.48).cameras(10) == (4, "processor")


def test_an_engine_on_the_cpu_takes_cores():
    on_cpu = replace(CHIP, inference_ms=20.0, engine_cores=2, stream_cores=0.18)
    assert on_cpu.cameras(10) == (4, "engine")
    assert replace(on_cpu, cores=2).cameras(10) == (2, "processor")


def test_one_camera_gets_what_the_engine_can_do():
    assert replace(CHIP, inference_ms=200.0).one_camera_fps() == pytest.approx(4)


def test_one_camera_gets_what_its_stream_leaves():
    assert replace(CHIP, stream_cores=2.4).one_camera_fps() == 0


def test_costs_are_told_apart_by_who_causes_them():
    costs = costs_of(figures(), 4)
    assert costs == Costs(
        inference_ms=10.0,
        own_ms=pytest.approx(5.0),
        stream_cores=pytest.approx(0.03),
        engine_cores=pytest.approx(1.8),
        cores=4,
    )


NO_ENGINE = {"engine": None, "busy": 0.0, "invokes_per_s": 0.0, "cameras": {"hall": camera("imx500")}}


def test_an_engine_that_does_nothing_sets_no_limit():
    costs = costs_of(figures(**NO_ENGINE), 4)
    assert (costs.inference_ms, costs.engine_cores, costs.inferred) == (0, 0, 0)
    said = verdict(figures(**NO_ENGINE), 4)
    assert (said["cameras"], said["limit"]) == (14, "posed")
    assert said["one_camera_fps"] == 140
    connectors = "A Pi has a connector for one AI Camera, a Pi 5 for two."
    assert said["text"].endswith(f"found in every picture. {connectors}")


def test_beside_an_ai_camera_the_engine_has_half_the_frames():
    kinds = {"hall": camera("imx500"), "bath": camera("video")}
    half = figures(fps=20.0, cameras=kinds)
    costs = costs_of(half, 64)
    assert (costs.inference_ms, costs.inferred) == (10, 0.5)
    assert verdict(half, 64)["cameras"] == 16 == 2 * verdict(figures(), 64)["cameras"]
    assert "One of two is an AI Camera, as here." in verdict(half, 64)["text"]


def test_the_mix_has_one_rate_whatever_its_cameras_had():
    cameras = {"hall": camera("imx500", cpu_ms=1.0, crops_ms=4.0), "bath": camera("video", cpu_ms=5.0)}
    threads = {"hand-over": 4.0, "network thread": 4.0}
    # The AI Camera has 30 of the 40 frames, the engine 10, of 60 ms each.
    found = figures(fps=40.0, busy=0.6, cameras=cameras, cpu_percent=figures()["cpu_percent"] | threads)
    costs = costs_of(found, 64)
    assert (costs.inferred, costs.crops_ms, costs.own_ms) == (0.5, 2, pytest.approx(3 + 2))
    assert verdict(found, 64)["cameras"] == 2
    assert verdict(found, 64)["limit"] == "engine"


def test_people_are_those_of_a_mix_of_one_rate():
    cameras = {"hall": camera("imx500", people=0.0), "bath": camera("video", people=4.0)}
    assert "That is with two people found in every picture." in verdict(figures(cameras=cameras), 64)["text"]


def test_crops_beside_ai_cameras_take_one_engine_at_most():
    hall = camera("imx500", crops_ms=25.0)
    crops = costs_of(figures(busy=0.25, invokes_per_s=2.5, cameras={"hall": hall}), 4)
    assert (crops.crops_ms, crops.inferred) == (pytest.approx(25), 0)
    few = replace(crops, own_ms=0.001, stream_cores=0.19, engine_cores=2.0)
    assert few.cameras(10) == (3, "processor"), "each takes half a core for crops"
    assert replace(few, cores=16).cameras(10) == (39, "processor"), "all together two cores"


def test_it_is_said_how_many_crops_all_cameras_share():
    slow = figures(busy=0.875, invokes_per_s=1.25, cameras={"hall": camera("imx500", crops_ms=87.5)})
    assert verdict(slow, 4)["text"].endswith(
        "The engine has time for 1.4 rotated crops a second, of all cameras together; others are left out."
    )
    beside = figures(fps=20.0, cameras={"hall": camera("imx500"), "bath": camera("video")})
    assert "time for 20.0 rotated crops a second" in verdict(beside, 64)["text"], "16 cameras leave a fifth"


@pytest.mark.parametrize("engine", [None, CORAL | {"lost": "gone"}])
def test_of_crops_nothing_is_said_without_an_engine(engine):
    cameras = {"hall": camera("imx500", crops_ms=10.0)}
    assert "rotated" not in verdict(figures(engine=engine, cameras=cameras), 4)["text"]
    assert "rotated" not in verdict(figures(), 4)["text"], "the engine infers all frames"


def test_figures_too_small_to_be_seen_are_no_fault():
    nothing = dict.fromkeys(figures()["cpu_percent"], 0.0)
    rare = {"hall": camera(cpu_ms=0.0)}
    assert verdict(figures(cpu_percent=nothing, cameras=rare), 4)["limit"] == "engine"


@pytest.mark.parametrize(
    ("inference_ms", "sentence"),
    [
        (10.0, "This machine handles eight cameras at 10 frames per second."),
        (70.0, "This machine handles one camera at 10 frames per second."),
        (
            6.0,
            "This machine handles 13 cameras at 10 frames per second (more than eight were never tried).",
        ),
        (
            100.0,
            "This machine handles no camera at 10 frames per second: one gets 8, enough to see who is where, "
            "too few for falls.",
        ),
        (400.0, "This machine handles no camera at 10 frames per second: one gets 2, too few."),
    ],
)
def test_the_verdict_is_a_sentence(inference_ms, sentence):
    said = verdict(figures(busy=inference_ms / 100), 64)
    reason = f"The engine sets the limit: it takes {inference_ms:.1f} ms for a frame."
    people = "That is with five people found in every picture."
    streams = "Decoding the streams of network cameras comes on top."
    assert said["text"] == f"{sentence} {reason} {people} {streams}"


def test_the_reason_names_who_sets_the_limit():
    assert (
        "The processor sets the limit: posed may use 60 % of its one core." in verdict(figures(), 1)["text"]
    )
    slow = verdict(figures(cameras={"hall": camera(cpu_ms=31.0)}), 64)
    assert "posed itself sets the limit: it takes 33.0 ms of one core for a frame." in slow["text"]


def test_the_proviso_says_what_was_before_the_cameras():
    real = figures(cameras={"hall": camera("video", people=0.2)})
    assert verdict(real, 64)["text"].endswith(
        " Hardly anybody was found in these pictures; people take more."
    )
    one = figures(cameras={"hall": camera(people=1.2)})
    assert "with one person found in every picture" in verdict(one, 64)["text"]
