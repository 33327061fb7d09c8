"""`/metrics` and `/healthz`: what they say of a real daemon, who may ask, and what Grafana makes of it."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from posed.people.events import EventType
from posed.pipeline.device import OK
from posed.pipeline.frame_rate import FrameRate
from posed.pipeline.opening import CAMERA
from posed.web.metrics import STAGES, Metrics
from tests.brokers import Mosquitto, Subscriber, eventually, free_port
from tests.grafana import dashboard, expressions, names_in
from tests.run_posed import Daemon
from tests.web_site import TOKEN, Site

Samples = dict[tuple[str, str], float]
"""By name and the value of the only label, or nothing."""


class Watched:
    """A daemon before drawn people, and its metrics."""

    def __init__(self, folder: Path, broker: Mosquitto, **more: Any) -> None:
        self.port = free_port()
        room = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
        settings = {
            "device": "hall",
            "camera": {"kind": "synthetic", "source": "1", "fps": 10, "size": [320, 240]},
            "model": {"name": "drawings-257x353-32"},
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
            "people": {"zones": {"room": room}},
            "web": {"enabled": True, "port": self.port},
        }
        self.daemon = Daemon(folder, settings | more)

    def __enter__(self) -> Watched:
        self.daemon.__enter__()
        eventually(lambda: "live view: http" in self.daemon.log(), 60)
        return self

    def __exit__(self, *how: object) -> None:
        self.daemon.__exit__(*how)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self) -> Samples:
        status, text = self.get("/metrics")
        assert status == 200, text
        return {
            (one.name, next(iter(one.labels.values()), "")): one.value
            for family in text_string_to_metric_families(text)
            for one in family.samples
        }

    def health(self) -> tuple[int, dict[str, Any]]:
        status, text = self.get("/healthz")
        return status, json.loads(text)

    def comes_to(self, holds: Callable[[Samples], object], within_s: float = 60) -> Samples:
        """The metrics, once something holds of them."""
        found: list[Samples] = []

        def look() -> object:
            found[:] = [self.samples()]
            return holds(found[0])

        eventually(look, within_s)
        return found[0]


def test_what_happens_is_counted(tmp_path, broker):
    with Subscriber(broker.port) as subscriber, Watched(tmp_path, broker) as watched:
        first = watched.comes_to(lambda now: now["posed_events_total", "entered"] > 0)
        second = watched.comes_to(
            lambda now: (
                now["posed_frames_processed_total", ""] > first["posed_frames_processed_total", ""]
                and now.get(("posed_people", ""), 0) > 0
            )
        )
        frames = second["posed_frames_processed_total", ""]
        eventually(lambda: len(subscriber.payloads("posed/hall/poses")) >= frames)
    assert second["posed_latency_seconds_count", ""] == frames
    assert second["posed_stage_duration_seconds_count", "invoke"] == frames
    assert {stage for name, stage in second if name == "posed_stage_duration_seconds_sum"} == set(STAGES)
    assert second["posed_latency_seconds_sum", ""] > second["posed_stage_duration_seconds_sum", "invoke"] > 0
    assert {kind for name, kind in second if name == "posed_events_total"} == set(get_args(EventType))
    assert [second["posed_up", part] for part in ("camera", "engine", "broker")] == [1, 1, 1]
    assert second["posed_zone_people", "room"] <= second["posed_people", ""]
    assert second["posed_paused", ""] == second["posed_falls", ""] == 0
    assert second["posed_reconnects_total", "broker"] == 0
    assert second["process_start_time_seconds", ""] == pytest.approx(time.time(), abs=300)


def test_a_daemon_without_mishap_is_green_in_a_pause_too(tmp_path, broker):
    with Subscriber(broker.port) as subscriber, Watched(tmp_path, broker) as watched:
        eventually(lambda: watched.health()[0] == 200, 60)
        _, said = watched.health()
        assert (said["frames"], said["problems"], said["fps"] > 0) == ("ok", [], True)
        subscriber.publish("posed/hall/request/pause")
        eventually(lambda: watched.health() == (200, {"frames": "paused", "problems": [], "fps": 0.0}), 60)
        now = watched.samples()
        assert (now["posed_paused", ""], now["posed_up", "camera"]) == (1, 0)
        assert not [name for name, _ in now if name in {"posed_people", "posed_zone_people"}]
        assert now["posed_device_errors_total", "camera"] == 0


def test_a_camera_that_is_away_is_red_and_counted(tmp_path, broker):
    with Watched(tmp_path, broker, camera={"kind": "video", "source": "/dev/video77"}) as watched:
        now = watched.comes_to(lambda now: now["posed_device_errors_total", "camera"] > 1)
        status, said = watched.health()
    assert (status, said["frames"]) == (503, "stopped")
    assert "/dev/video77" in said["problems"][0]
    assert (now["posed_up", "camera"], now["posed_up", "engine"]) == (0, 1)


def test_a_broker_that_comes_back_is_a_reconnect(tmp_path, broker):
    with Watched(tmp_path, broker) as watched:
        watched.comes_to(lambda now: now["posed_up", "broker"] == 1)
        broker.stop()
        gone = watched.comes_to(lambda now: now["posed_up", "broker"] == 0)
        assert gone["posed_reconnects_total", "broker"] == 0
        eventually(lambda: watched.health()[0] == 200, 60)
        broker.start()
        watched.comes_to(lambda now: now["posed_reconnects_total", "broker"] == 1)


def test_one_page_is_for_both_formats_of_prometheus(tmp_path):
    with Site(tmp_path) as site:
        _, headers, text = site.get("/metrics")
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert "_created" not in text
        _, headers, text = site.get("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert text.endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/metrics", "/healthz"])
def test_who_has_no_token_learns_nothing(tmp_path, path):
    with Site(tmp_path, {"token": TOKEN}) as site:
        assert site.get(path)[0] == 401
        assert site.get(path, Authorization="Bearer 0123456789abcdee")[0] == 401
        status, _, text = site.get(path, Authorization=f"Bearer {TOKEN}")
    assert status in {200, 503}
    assert "posed_" in text or "frames" in text


def test_it_is_red_before_the_first_frame_and_without_newer(tmp_path):
    with Site(tmp_path) as site:
        assert site.get("/healthz")[0] == 503
        for thread in (site.daemon.pipeline.feeds[CAMERA].capture, site.daemon.pipeline.inference):
            thread.device.status = OK
        scene = site.daemon.scenes[CAMERA]
        scene.frame_rate.count(time.monotonic(), 0.01, 0.02)
        assert site.get("/healthz")[0] == 200
        scene.frame_rate = FrameRate()
        scene.frame_rate.count(time.monotonic() - 5.1, 0.01, 0.02)
        assert site.get("/healthz")[0] == 503


def test_a_main_loop_that_hangs_is_red(tmp_path):
    with Site(tmp_path) as site:
        for path in ("/healthz", "/metrics"):
            with pytest.raises(urllib.error.HTTPError) as red:
                urllib.request.urlopen(site.url + path, timeout=10)
            assert red.value.code == 503
            assert "no answer within 3 s" in red.value.read().decode()


def test_a_stage_that_nobody_knew_is_counted_too(tmp_path):
    with Site(tmp_path) as site:
        site.server.metrics.count_frame(0.5, {"dance": 0.25})
        site.show(np.zeros((4, 4, 3), np.uint8))
        _, _, text = site.get("/metrics")
    assert 'posed_stage_duration_seconds_sum{stage="dance"} 0.25' in text


def test_counting_needs_no_global_registry():
    Metrics()
    Metrics()


# The dashboard


def test_every_series_of_the_dashboard_is_there(tmp_path, broker):
    with Watched(tmp_path, broker) as watched:
        there = watched.comes_to(lambda now: ("posed_people", "") in now)
        _, text = watched.get("/metrics")
    families = {family.name for family in text_string_to_metric_families(text)}
    known = {name for name, _ in there} | families
    for title, expression in expressions():
        assert names_in(expression), title
        assert names_in(expression) <= known, title
    unused = {name for name in families if name.startswith("posed_")} - {
        name.removesuffix("_total").removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")
        for _, expression in expressions()
        for name in names_in(expression)
    }
    assert unused == set()


def test_the_dashboard_is_one_that_grafana_lays_out():
    made = dashboard()
    assert made["schemaVersion"] >= 39
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in made["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert {one["name"] for one in made["templating"]["list"]} == {"datasource", "instance"}
