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
from posed.pipeline.occurrence import Occurrence
from posed.web.metrics import STAGES, Metrics
from tests.brokers import Mosquitto, Subscriber, eventually, free_port
from tests.grafana import dashboard, expressions, names_in, queried, rows
from tests.run_posed import Daemon
from tests.web_site import TOKEN, Site

Samples = dict[tuple[str, ...], float]
"""By name and the values of the labels, in the order of their names."""


ROOM = {"room": {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}}
DRAWN = {"kind": "synthetic", "fps": 10}
CAMERAS = {
    "hall": DRAWN | {"source": "1", "size": [320, 240], "zones": ROOM},
    "bedroom": DRAWN | {"source": "5", "size": [320, 240]},
}


class Watched:
    """A daemon with two cameras before drawn people, and its metrics."""

    def __init__(self, folder: Path, broker: Mosquitto, **more: Any) -> None:
        self.port = free_port()
        settings = {
            "device": "pi",
            "cameras": CAMERAS,
            "model": {"name": "drawings-257x353-32"},
            "mqtt": {"host": "127.0.0.1", "port": broker.port},
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
            with error:
                return error.code, error.read().decode()

    def samples(self) -> Samples:
        status, text = self.get("/metrics")
        assert status == 200, text
        return {
            (one.name, *(value for _, value in sorted(one.labels.items()))): one.value
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
        first = watched.comes_to(lambda now: now["posed_events_total", "hall", "entered"] > 0)
        frames = "posed_frames_processed_total", "hall"
        second = watched.comes_to(
            lambda now: now[frames] > first[frames] and now.get(("posed_people", "hall"), 0) > 0
        )
        eventually(lambda: len(subscriber.payloads("posed/pi/hall/poses")) >= second[frames])
    assert second["posed_latency_seconds_count", "hall"] == second[frames]
    assert second["posed_stage_duration_seconds_count", "hall", "invoke"] == second[frames]
    assert last_labels(second, "posed_stage_duration_seconds_sum") == set(STAGES)
    latency, invoke = "posed_latency_seconds_sum", "posed_stage_duration_seconds_sum"
    assert second[latency, "hall"] > second[invoke, "hall", "invoke"] > 0
    assert last_labels(second, "posed_events_total") == set(get_args(EventType))
    assert [second["posed_up", *part] for part in PARTS] == [1, 1, 1, 1]
    assert second["posed_zone_people", "hall", "room"] <= second["posed_people", "hall"]
    assert second["posed_paused", "hall"] == second["posed_falls", "hall"] == 0
    assert second["posed_reconnects_total", "broker"] == 0
    assert second["posed_camera_info", "bedroom", "synthetic"] == 1
    assert second["process_start_time_seconds",] == pytest.approx(time.time(), abs=300)


def last_labels(samples: Samples, wanted: str) -> set[str]:
    """The values of a series' last label."""
    return {labels[-1] for name, *labels in samples if name == wanted}


PARTS = [("hall", "camera"), ("bedroom", "camera"), ("engine",), ("broker",)]


def test_a_daemon_without_mishap_is_green_in_a_pause_too(tmp_path, broker):
    with Subscriber(broker.port) as subscriber, Watched(tmp_path, broker) as watched:
        eventually(lambda: watched.health()[0] == 200, 60)
        eventually(lambda: all(watched.health()[1]["fps"].values()), 60)
        _, said = watched.health()
        assert (said["frames"], said["problems"], set(said["fps"])) == ("ok", [], {"hall", "bedroom"})
        subscriber.publish("posed/pi/request/pause")
        paused = {"frames": "paused", "problems": [], "fps": {"hall": 0.0, "bedroom": 0.0}}
        eventually(lambda: watched.health() == (200, paused), 60)
        now = watched.samples()
        assert (now["posed_paused", "hall"], now["posed_up", "hall", "camera"]) == (1, 0)
        assert not [name for name, *_ in now if name in {"posed_people", "posed_zone_people"}]
        assert now["posed_device_errors_total", "hall", "camera"] == 0


AWAY = {"kind": "video", "source": "/dev/video77"}


def test_cameras_that_are_all_away_are_red_and_counted(tmp_path, broker):
    with Watched(tmp_path, broker, cameras={"hall": AWAY}) as watched:
        now = watched.comes_to(lambda now: now["posed_device_errors_total", "hall", "camera"] > 1)
        status, said = watched.health()
    assert (status, said["frames"]) == (503, "stopped")
    assert "/dev/video77" in said["problems"][0]
    assert (now["posed_up", "hall", "camera"], now["posed_up", "engine"]) == (0, 1)


def test_one_camera_that_delivers_is_green(tmp_path, broker):
    with Watched(tmp_path, broker, cameras=CAMERAS | {"bedroom": AWAY}) as watched:
        watched.comes_to(lambda now: now["posed_device_errors_total", "bedroom", "camera"] > 0)
        eventually(lambda: watched.health()[0] == 200, 60)
        now = watched.samples()
        _, said = watched.health()
    assert (said["frames"], said["fps"]["bedroom"]) == ("ok", 0)
    assert "bedroom" in said["problems"][0]
    assert [now["posed_up", name, "camera"] for name in CAMERAS] == [1, 0]


def test_a_removed_camera_vanishes(tmp_path):
    with Site(tmp_path, cameras={"hall": {}, "bedroom": {"zones": ROOM}}) as site:
        site.show(np.zeros((4, 4, 3), np.uint8), camera="bedroom")
        site.daemon.spool.add(Occurrence("entered", 1.0, 7, camera="bedroom"))
        site.server.metrics.count_frame("bedroom", 0.5, {"dance": 0.25})
        assert 'posed_events_total{camera="bedroom",type="entered"} 1.0' in site.get("/metrics")[2]
        site.reload(cameras={"hall": {}})
        site.daemon.spool.add(Occurrence("left", 2.0, 7, camera="bedroom"))
        status, _, text = site.get("/metrics")
    assert (status, "bedroom" in text) == (200, False)
    assert 'posed_frames_processed_total{camera="hall"} 0.0' in text


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
        for thread in (site.daemon.pipeline.feeds["hall"].capture, site.daemon.pipeline.inference):
            thread.device.status = OK
        scene = site.daemon.channels["hall"].scene
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
            with red.value as answer:
                assert answer.code == 503
                assert "no answer within 3 s" in answer.read().decode()


def test_a_stage_that_nobody_knew_is_counted_too(tmp_path):
    with Site(tmp_path) as site:
        site.server.metrics.count_frame("hall", 0.5, {"dance": 0.25})
        site.show(np.zeros((4, 4, 3), np.uint8))
        _, _, text = site.get("/metrics")
    assert 'posed_stage_duration_seconds_sum{camera="hall",stage="dance"} 0.25' in text


def test_counting_needs_no_global_registry():
    Metrics(["hall"])
    Metrics(["hall"])


# The dashboard


def test_every_series_of_the_dashboard_is_there(tmp_path, broker):
    with Watched(tmp_path, broker) as watched:
        there = watched.comes_to(lambda now: ("posed_people", "hall") in now)
        _, text = watched.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(text)}
    known = {name for name, *_ in there} | set(families)
    for title, expression in expressions():
        assert names_in(expression), title
        assert names_in(expression) <= known, title
    unused = {name for name in families if name.startswith("posed_")} - {
        _family(name) for _, expression in expressions() for name in names_in(expression)
    }
    assert unused == set()


def _family(name: str) -> str:
    return name.removesuffix("_total").removesuffix("_bucket").removesuffix("_sum").removesuffix("_count")


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
    for panel in queried():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert {one["name"] for one in made["templating"]["list"]} == {"datasource", "instance", "camera"}


def test_a_row_is_repeated_for_each_camera():
    for row, panels in rows():
        assert panels, row["title"]
        assert row.get("repeat") in {None, "camera"}
        for panel in panels:
            for target in panel["targets"]:
                assert ('camera=~"$camera"' in target["expr"]) == ("repeat" in row), panel["title"]
    assert [row["title"] for row, _ in rows() if "repeat" in row] == ["Camera $camera"]
