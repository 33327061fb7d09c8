"""The live view: who may look, what they see, the zones they draw, and what it costs; real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from email.message import Message
from http.client import HTTPResponse
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import cv2
import numpy as np
import pytest
import yaml

from posed.config import load
from posed.errors import ConfigError
from posed.people.events import TrackedPerson
from posed.people.person import Person
from posed.pipeline.occurrence import Occurrence
from posed.pipeline.scene import Scene
from posed.pose import Pose
from posed.service.channel import Channel
from posed.web.authenticator import HEADERS, TRIES_AT_ONCE
from posed.web.camera_stream import LONGEST_SIDE_PX
from posed.web.connection import Limits
from posed.web.pages import languages
from posed.web.viewer import IN_FLIGHT
from tests.brokers import eventually, free_port
from tests.configs import problems as config_problems
from tests.configs import write
from tests.performers import posing
from tests.run_posed import Daemon
from tests.web_site import TOKEN, Site, Viewer

ANYWHERE = "0.0.0.0"
SAID = {aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY}
FILES = Path(str(resources.files("posed.web"))) / "static"
NOISE = np.random.default_rng(1).integers(0, 256, (240, 320, 3), np.uint8)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Site(tmp_path, privacy={"pictures": "full"}) as running:
        yield running


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Site]:
    """A site that others can reach, and that has a token."""
    with Site(tmp_path, {"host": ANYWHERE, "token": TOKEN, "names": ["posed.example.org"]}) as running:
        yield running


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Site]:
    """A site that waits half a second for a request."""
    with Site(tmp_path, limits=Limits(request_s=0.5)) as running:
        yield running


def somebody() -> Person:
    return posing("stand", 0.5)


# Configuration


def problems(**settings: Any) -> str:
    environment = {f"POSED_WEB__{name.upper()}": str(value) for name, value in settings.items()}
    with pytest.raises(ConfigError) as caught:
        load(None, environment)
    return str(caught.value)


def test_an_address_that_others_reach_demands_a_token():
    assert problems(enabled="true", host=ANYWHERE) == (
        "web.token: needed where others can reach it (web.host is 0.0.0.0), got nothing"
    )
    assert load(None, {"POSED_WEB__ENABLED": "true"}).web.token is None
    assert load(None, {"POSED_WEB__ENABLED": "true", "POSED_WEB__HOST": "::1"}).web.is_local


def test_a_token_that_can_be_guessed_is_refused_and_hidden():
    assert problems(token="hall2026") == (
        "web.token: must be 16 to 256 letters, digits and signs without spaces, "
        "as `openssl rand -hex 16` gives, got str (set by POSED_WEB__TOKEN)"
    )


@pytest.mark.parametrize("host", ["hall", "", "127.0.0.1:8460", "1.2.3"])
def test_only_an_address_can_be_listened_on(host):
    wanted = (
        "web.host: must be an IP address without port or brackets, such as 127.0.0.1, ::1 or 0.0.0.0, got"
    )
    assert wanted in problems(host=f"'{host}'")


@pytest.mark.parametrize(
    "origin",
    [
        *("homeassistant.local:8123", "http://ha.local/", "http://ha.local:8123/lovelace", "http://HA.local"),
        *("http://*.example.org", "*", "'self'", "http://ha.local; script-src *", "http://me@ha.local"),
        *("http://ha.local:", "http://ha.local:0", "http://ha.local:65536", "http://[::1]:8123", "null"),
        *("ftp://ha.local", "http://", "http://a\n"),
    ],
)
def test_a_frame_is_allowed_to_an_origin_alone(tmp_path, origin):
    file = write(tmp_path, yaml.safe_dump({"web": {"frame_ancestors": [origin]}}))
    [problem] = config_problems(file)
    assert (
        "web.frame_ancestors.0: must be a page's origin, such as http://homeassistant.local:8123" in problem
    )
    assert "\n" not in problem


def test_origins_are_taken_as_they_are(tmp_path):
    origins = ("http://homeassistant.local:8123", "https://ha.example.org", "http://192.168.1.5:8123")
    file = write(tmp_path, yaml.safe_dump({"web": {"frame_ancestors": list(origins)}}))
    assert load(file, {}).web.frame_ancestors == origins
    assert load(None, {}).web.frame_ancestors == ()


def test_nothing_of_it_is_loaded_where_it_is_off():
    code = (
        "import sys, posed.daemon, posed.cli\n"
        "print([name for name in sys.modules if name.startswith(('aiohttp', 'posed.web'))])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


# Who may look


def test_on_this_machine_alone_no_token_is_needed(site):
    status, _, page = site.get()
    assert (status, "<canvas" in page) == (200, True)


def test_every_answer_has_strict_headers(guarded):
    for path in ("/", "/static/style.css", "/nothing", "/live/"):
        _, headers, _ = guarded.get(path)
        assert {name: headers.get(name) for name in HEADERS} == HEADERS
        assert headers["Server"] == "posed"
    _, headers, _ = guarded.get("/", Host="evil.example")
    assert {name: headers.get(name) for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nno header\r\n\r\n",
        b"GET / HTTP/9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"\x16\x03\x01 this is TLS\r\n\r\n",
        b"POST /api/request/set HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    ],
)
def test_what_is_no_request_is_answered_in_plain_text(site, request_):
    status, headers = answered(site, request_)
    assert 400 <= status < 500
    assert headers["Content-Type"].startswith("text/plain")


def test_wonders_that_nobody_does_are_answered_with_strict_headers(site):
    status, headers = answered(site, b"GET / HTTP/1.1\r\nHost: localhost\r\nExpect: wonders\r\n\r\n")
    assert (status, headers["Server"]) == (417, "posed")
    assert {name: headers.get(name) for name in HEADERS} == HEADERS


def answered(site: Site, request: bytes) -> tuple[int, Message]:
    """Status and headers that come for some bytes."""
    with socket.create_connection(("127.0.0.1", site.port), timeout=5) as raw:
        raw.sendall(request)
        answer = HTTPResponse(raw)
        answer.begin()
        return answer.status, answer.headers


def test_the_policy_allows_nothing_from_elsewhere_and_no_inline_script(site):
    policy = site.get()[1]["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8460", "127.0.0.1.evil.example", "192.168.1.7", "", "[::1", "a@localhost"],
)
def test_a_name_that_is_not_ours_reaches_nothing(site, host):
    for path in ("/", "/static/app.js", "/live/", "/nothing"):
        assert site.get(path, Host=host)[0] == 403 or host == "a@localhost"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:8460", "localhost."])
def test_this_machine_s_names_and_addresses_are_known(site, host):
    assert site.get("/", Host=host)[0] == 200


def test_a_site_for_others_knows_addresses_and_its_own_names(guarded):
    name = socket.gethostname().lower().partition(".")[0]
    for host in ("192.168.1.7:8460", name, f"{name}.local", "posed.example.org"):
        assert guarded.get("/", Host=host, Authorization=f"Bearer {TOKEN}")[0] == 200
    assert guarded.get("/", Host="posed.example.com", Authorization=f"Bearer {TOKEN}")[0] == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://127.0.0.1", "", "http://[", "//"]
)
def test_another_page_reaches_nothing(site, origin):
    assert site.get("/", Origin=origin)[0] == 403

    async def work(client):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/live/", headers={"Origin": origin})
        async with client.post("/api/request/resume", json={}, headers={"Origin": origin}) as answer:
            return refused.value.status, answer.status

    assert site.visit(work) == (403, 403)


def test_a_websocket_and_a_change_must_name_their_origin(site):
    async def work(client):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/live/")
        async with client.post("/api/request/resume", json={}) as answer:
            return refused.value.status, answer.status

    assert site.visit(work) == (403, 403)


def test_what_another_page_embeds_is_refused_and_a_link_works(site):
    assert site.get("/static/app.js", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="no-cors")[0] == 403
    frame = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}
    assert site.get("/", Sec_Fetch_Site="cross-site", **frame)[0] == 403
    link = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    assert site.get("/", Sec_Fetch_Site="cross-site", **link)[0] == 200


def test_only_pages_that_are_named_may_frame_the_live_view(tmp_path):
    dashboards = ["http://homeassistant.local:8123", "https://ha.example.org"]
    frame = {"Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"}
    with Site(tmp_path, web={"frame_ancestors": dashboards}) as site:
        for page in ("cross-site", "same-site"):
            status, headers, _ = site.get("/", Sec_Fetch_Site=page, **frame)
            assert status == 200
            policy = headers["Content-Security-Policy"]
            assert policy.endswith(f"; frame-ancestors {' '.join(dashboards)}")
            assert policy.count("frame-ancestors") == 1
            assert "X-Frame-Options" not in headers
            assert site.get("/static/app.js", Sec_Fetch_Site=page, Sec_Fetch_Mode="no-cors")[0] == 403
            assert site.get("/", Sec_Fetch_Site=page, **(frame | {"Sec_Fetch_Dest": "embed"}))[0] == 403
        assert site.get("/live/", Sec_Fetch_Site="cross-site", Origin=dashboards[0])[0] == 403


def test_the_cookie_stays_strict_where_a_frame_is_allowed(tmp_path):
    with Site(tmp_path, web={"token": TOKEN, "frame_ancestors": ["https://ha.example.org"]}) as site:
        assert "SameSite=Strict" in site.get(f"/?token={TOKEN}")[1]["Set-Cookie"]


def test_without_the_token_there_is_a_form_and_nothing_else(guarded):
    status, _, page = guarded.get("/", Accept="text/html")
    assert (status, 'name="token"' in page, "<canvas" in page) == (401, True, False)
    status, headers, text = guarded.get("/nothing")
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")
    assert text == "A token is needed: Authorization: Bearer TOKEN\n"

    async def work(client):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await client.ws_connect("/live/", origin=guarded.url)
        async with client.post("/api/request/resume", json={}, headers={"Origin": guarded.url}) as answer:
            return refused.value.status, answer.status

    assert guarded.visit(work) == (401, 401)


def test_the_token_in_the_form_gives_a_strict_cookie(guarded):
    async def work(client):
        form = {"data": {"token": TOKEN}, "headers": {"Origin": guarded.url}, "allow_redirects": False}
        async with client.post("/login", **form) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert (answer.status, answer.headers["Location"]) == (303, "./")
        assert all(part in cookie for part in ("HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=2592000"))
        assert TOKEN not in cookie
        async with client.get("/") as answer:
            assert answer.status == 200
        async with guarded.view(client) as viewer:
            return await viewer.hear("hello")

    assert guarded.visit(work)["device"] == "pi"


def test_the_token_in_the_address_is_taken_once_and_removed(guarded):
    async def work(client):
        async with client.get("/", params={"token": TOKEN, "a": "1"}, allow_redirects=False) as answer:
            assert (answer.status, answer.headers["Location"]) == (303, "./?a=1")
        async with client.get("/") as answer:
            assert answer.status == 200

    guarded.visit(work)


def test_the_token_in_the_address_leads_nowhere_else(guarded):
    with socket.create_connection(("127.0.0.1", guarded.port)) as raw:
        raw.sendall(f"GET //evil.example/?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b"Location: ./\r\n" in raw.recv(4000)
    with socket.create_connection(("127.0.0.1", guarded.port)) as raw:
        raw.sendall(f"GET /javascript:1?token={TOKEN} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert b"Location: ./javascript:1\r\n" in raw.recv(4000)


def cookie(until: str, token: str = TOKEN) -> str:
    """A cookie as a daemon of this token gives it away, which lasts until then, s since 1970."""
    signature = hmac.new(token.encode(), f"posed live view {until}".encode(), hashlib.sha256)
    return f"{until}.{signature.hexdigest()}"


def test_a_cookie_outlives_a_restart_and_not_its_time(guarded):
    name, good = f"posed_{guarded.port}", cookie("99999999999")
    assert guarded.get("/", Cookie=f"{name}={good}")[0] == 200
    for bad in (
        cookie("1000"),
        cookie("99999999999", "fedcba9876543210"),
        good + "0",
        f"9{good}",
        "",
        ".",
        "99999999999.",
        cookie("x"),
        "²." + good,
    ):
        assert guarded.get("/", Cookie=f"{name}={bad}")[0] == 401


def test_after_wrong_tokens_the_right_one_has_to_wait_too(guarded, caplog):
    for _ in range(TRIES_AT_ONCE):
        assert guarded.get("/", Authorization="Bearer wrong")[0] == 401
    status, headers, text = guarded.get("/", Authorization=f"Bearer {TOKEN}")
    assert (status, text) == (429, "Too many wrong tokens: wait 10 s.\n")
    assert 0 < int(headers["Retry-After"]) <= 10
    assert caplog.text.count("a wrong token from 127.0.0.1") == 1


@pytest.mark.parametrize(
    "browser",
    [
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
        {},  # over plain HTTP browsers do not say whose link it was
    ],
)
def test_links_of_others_lock_neither_programs_nor_the_form_out(guarded, browser):
    tried = [guarded.get("/?token=wrong", **browser)[0] for _ in range(TRIES_AT_ONCE + 1)]
    assert tried == [401] * TRIES_AT_ONCE + [429]
    assert guarded.get(f"/?token={TOKEN}", **browser)[0] == 429
    assert guarded.get("/", Authorization=f"Bearer {TOKEN}")[0] == 200
    assert log_in(guarded, TOKEN) == 303


def test_foreign_links_do_not_use_up_the_owners_own(guarded):
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"}
    for _ in range(TRIES_AT_ONCE + 1):
        guarded.get("/?token=wrong", **link)
    assert guarded.get(f"/?token={TOKEN}", Sec_Fetch_Site="none")[0] == 303


def test_what_another_page_embeds_is_not_counted(guarded):
    for _ in range(TRIES_AT_ONCE + 1):
        embedded = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"}
        assert guarded.get("/?token=wrong", **embedded)[0] == 403
        assert log_in(guarded, "wrong", origin="http://evil.example") == 403
    assert guarded.get(f"/?token={TOKEN}")[0] == 303
    assert log_in(guarded, TOKEN) == 303


def test_wrong_tokens_in_the_form_are_counted(guarded):
    assert [log_in(guarded, "wrong") for _ in range(TRIES_AT_ONCE)] == [401] * TRIES_AT_ONCE
    assert log_in(guarded, TOKEN) == 429


def test_the_form_leads_back_to_its_camera(guarded):
    _, _, page = guarded.get("/bedroom", Accept="text/html")
    assert 'action="login?camera=bedroom"' in page

    async def work(client):
        form = {"headers": {"Origin": guarded.url, "Accept": "text/html"}, "allow_redirects": False}
        async with client.post("/login?camera=bedroom", data={"token": "wrong"}, **form) as answer:
            assert 'action="login?camera=bedroom"' in await answer.text()
        async with client.post("/login?camera=bedroom", data={"token": TOKEN}, **form) as answer:
            return answer.headers["Location"]

    assert guarded.visit(work) == "./bedroom"


@pytest.mark.parametrize("camera", ["//evil.example", "\\evil.example", "bed%0d%0aroom", "", '"><b>'])
def test_the_form_leads_nowhere_else(guarded, camera):
    async def work(client):
        url = f"/login?camera={quote(camera)}"
        form = {"headers": {"Origin": guarded.url, "Accept": "text/html"}, "allow_redirects": False}
        async with client.post(url, data={"token": "wrong"}, **form) as answer:
            assert 'action="login"' in await answer.text()
        async with client.post(url, data={"token": TOKEN}, **form) as answer:
            return answer.headers["Location"]

    assert guarded.visit(work) == "./"


def test_a_wrong_token_opens_nothing_in_older_aiohttp_either(guarded, monkeypatch):
    monkeypatch.setattr(aiohttp.web.Response, "__bool__", lambda _: False, raising=False)
    assert guarded.get("/", Authorization="Bearer wrong")[0] == 401
    assert guarded.get("/?token=wrong")[0] == 401
    assert log_in(guarded, "wrong") == 401


def log_in(site: Site, token: str, origin: str | None = None) -> int:
    """The status that the form is answered with."""

    async def work(client):
        headers = {"Origin": origin or site.url}
        async with client.post(
            "/login", data={"token": token}, headers=headers, allow_redirects=False
        ) as answer:
            return answer.status

    return site.visit(work)


def test_the_cookie_does_not_wait_for_any_wrong_token(guarded):
    async def work(client):
        await client.get("/", params={"token": TOKEN})
        for _ in range(TRIES_AT_ONCE + 1):
            async with aiohttp.ClientSession(guarded.url) as other:
                async with other.get("/", headers={"Authorization": "Bearer wrong"}) as refused:
                    assert refused.status in {401, 429}
                async with other.get("/", params={"token": "wrong"}) as refused:
                    assert refused.status in {401, 429}
        async with client.get("/") as page, client.get("/", params={"token": "wrong"}) as link:
            return page.status, link.status, str(link.url)

    assert guarded.visit(work) == (200, 200, f"{guarded.url}/")


def test_the_right_token_works_as_often_as_one_likes(guarded):
    shown = [guarded.get("/", Authorization=f"Bearer {TOKEN}")[0] for _ in range(2 * TRIES_AT_ONCE)]
    assert set(shown) == {200}


def test_the_token_is_in_no_log(guarded, caplog):
    caplog.set_level(logging.DEBUG)
    guarded.get(f"/?token={TOKEN}")
    guarded.get(f"/?token={TOKEN}x")
    with socket.create_connection(("127.0.0.1", guarded.port)) as raw:
        raw.sendall(f"GET /?token={TOKEN} HTTP/9\r\nX: {TOKEN}\x00\r\n\r\n".encode())
        assert b"400" in raw.recv(1000)
    assert TOKEN not in caplog.text


@pytest.mark.parametrize(
    "path", ["/static/../config.py", "/static/%2e%2e/config.py", "/static/index.html", "/static/"]
)
def test_no_other_file_is_served(site, path):
    assert site.get(path)[0] == 404


# What is seen


def test_a_frame_and_its_people_come_in_one_message(site):
    async def work(client):
        async with site.view(client) as viewer:
            return await viewer.shown(NOISE, somebody())

    about, jpeg = site.visit(work)
    (person,) = about["people"]
    assert about["frame"] == {"width": 320, "height": 240}
    assert about["stages_ms"] == {"invoke": 12.5}
    assert (person["id"], person["posture"], person["zones"]) == (1, "standing", ["room"])
    assert len(person["keypoints"]) == 17
    assert decoded(jpeg).shape == (240, 320, 3)


def decoded(jpeg: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)[:, :, ::-1]


def seen_with(folder: Path, pictures: str, image: np.ndarray = NOISE) -> bytes:
    """The picture that is sent of a frame."""
    with Site(folder, privacy={"pictures": pictures}) as site:

        async def work(client):
            async with site.view(client) as viewer:
                assert (await viewer.hear("hello"))["pictures"] == pictures
                return await viewer.shown(image, somebody())

        about, jpeg = site.visit(work)
        assert about["people"][0]["keypoints"]["nose"] is not None
        return jpeg


@pytest.mark.parametrize("pictures", ["off", "skeleton"])
def test_no_image_leaves_where_figures_alone_may_be_seen(tmp_path, pictures):
    assert seen_with(tmp_path, pictures) == b""


def test_blurred_sends_blocks(tmp_path):
    image = decoded(seen_with(tmp_path, "blurred"))
    assert image.shape == (240, 320, 3)
    assert np.abs(image[1:10, 2:10].astype(int) - image[5, 5]).max() < 12  # inside a block all is alike


def test_full_sends_the_picture(tmp_path):
    smooth = cv2.resize(NOISE[:6, :8], (320, 240), interpolation=cv2.INTER_CUBIC)
    image = decoded(seen_with(tmp_path, "full", smooth))
    assert np.abs(image.astype(int) - smooth).mean() < 6


def test_a_large_picture_is_reduced_and_places_stay_the_frames(site):
    async def work(client):
        async with site.view(client) as viewer:
            return await viewer.shown(np.zeros((1080, 1920, 3), np.uint8))

    about, jpeg = site.visit(work)
    assert about["frame"] == {"width": 1920, "height": 1080}
    assert decoded(jpeg).shape[1] == LONGEST_SIDE_PX


def test_the_state_comes_at_once_and_again(site):
    async def work(client):
        async with site.view(client) as viewer:
            return [await viewer.hear("state") for _ in range(2)]

    first, second = site.visit(work)
    assert (first["machine"]["device"], first["camera"]["camera"]) == ("pi", "hall")
    assert first["machine"]["engine"]["status"] == "waiting"
    assert second["camera"]["time"] > first["camera"]["time"]


def test_events_come_as_they_happen_and_to_later_viewers(site):
    async def work(client):
        async with site.view(client) as viewer:
            await viewer.hear("state")
            site.daemon.spool.add(Occurrence("entered", 1.0, 7, camera="hall"))
            now = await viewer.hear("event")
        async with site.view(client) as viewer:
            return now, await viewer.hear("event")

    now, later = site.visit(work)
    assert (now["event"]["type"], now["event"]["person"]) == ("entered", 7)
    assert later == now


# Which camera is seen


def test_each_camera_has_a_page(site):
    assert [site.get(path)[0] for path in ("/", "/hall", "/bedroom")] == [200] * 3


@pytest.mark.parametrize("path", ["/kitchen", "/Hall", "/live", "/live/kitchen"])
def test_an_unknown_camera_is_told_in_words(site, path):
    status, headers, text = site.get(path)
    assert (status, text) == (404, "There is no camera of this name. The cameras are: hall, bedroom.\n")
    assert headers["Content-Type"].startswith("text/plain")


@pytest.mark.parametrize("camera", ["live", "login", "static", "api"])
def test_a_camera_may_be_called_as_a_path_of_ours(tmp_path, camera):
    with Site(tmp_path, {"token": TOKEN}, cameras={"hall": {}, camera: {}}) as site:
        assert site.get(f"/{camera}")[0] == 401
        assert site.get(f"/{camera}", Authorization=f"Bearer {TOKEN}")[0] == 200

        async def work(client):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect(f"/live/{camera}", origin=site.url)
            await client.get("/", params={"token": TOKEN})
            async with site.view(client, camera) as viewer:
                return refused.value.status, (await viewer.hear("hello"))["camera"]

        assert site.visit(work) == (401, camera)


@pytest.mark.parametrize("name", ["metrics", "healthz"])
def test_no_camera_is_called_as_what_programs_ask_for(tmp_path, name):
    [problem] = config_problems(write(tmp_path, yaml.safe_dump({"cameras": {name: {}}})))
    assert "must be none of healthz, metrics, which are addresses of the web server" in problem


def test_a_viewer_sees_its_own_camera_alone(site):
    async def work(client):
        async with site.view(client, "bedroom") as viewer:
            assert (await viewer.hear("hello"))["camera"] == "bedroom"
            for width in range(1, 40):
                site.show(NOISE[:, :width], camera="hall")
            site.daemon.spool.add(Occurrence("entered", 1.0, 7, camera="hall"))
            site.daemon.spool.add(Occurrence("left", 2.0, 8, camera="bedroom"))
            event = (await viewer.hear("event"))["event"]
            about, _ = await viewer.shown(NOISE, camera="bedroom")
            return about["frame"]["width"], event["person"]

    assert site.visit(work) == (320, 8)


def test_a_viewer_costs_nothing_for_other_cameras(site):
    async def work(client):
        async with site.view(client, "bedroom") as viewer:
            for _ in range(5):
                site.show(NOISE, camera="hall")
                await viewer.shown(NOISE, camera="bedroom")
                await viewer.socket.send_str("next")

    site.visit(work)
    encoded = {name: stream.encoded for name, stream in site.server.stream.cameras.items()}
    assert encoded["hall"] == 0
    assert encoded["bedroom"] >= 5


def test_each_camera_has_its_own_privacy(tmp_path):
    cameras = {"hall": {"privacy": {"pictures": "full"}}, "bedroom": {}}
    with Site(tmp_path, cameras=cameras, privacy={"pictures": "skeleton"}) as site:

        async def work(client):
            seen = {}
            for camera in cameras:
                async with site.view(client, camera) as viewer:
                    hello = await viewer.hear("hello")
                    _, jpeg = await viewer.shown(NOISE, camera=camera)
                    seen[camera] = hello["pictures"], bool(jpeg)
            return seen

        assert site.visit(work) == {"hall": ("full", True), "bedroom": ("skeleton", False)}


def test_more_privacy_holds_for_those_who_look(site):
    async def work(client):
        async with site.view(client) as viewer:
            assert (await viewer.shown(NOISE))[1] != b""
            site.reload(privacy={"pictures": "off"})
            assert (await viewer.hear("hello"))["pictures"] == "off"
            await viewer.socket.send_str("next")
            return (await viewer.shown(NOISE))[1]

    assert site.visit(work) == b""


def test_the_state_says_how_every_camera_does(site):
    async def work(client):
        async with site.view(client, "bedroom") as viewer:
            site.daemon.channels["hall"].feed.pause()
            site.daemon.spool.add(Occurrence("fall", 1.0, 7, camera="bedroom"))
            return [await viewer.hear("state") for _ in range(2)][1]

    state = site.visit(work)
    assert state["camera"]["camera"] == "bedroom"
    assert [(name, glance["paused"]) for name, glance in state["cameras"].items()] == [
        ("hall", True),
        ("bedroom", False),
    ]
    [fall] = state["falls"]
    assert (fall["camera"], fall["since"]) == ("bedroom", "1970-01-01T00:00:01.000Z")
    assert state["broker"] is False


def test_all_cameras_are_seen_at_once(site):
    async def work(client):
        async with site.view(client, "") as viewer:
            hello = await viewer.hear("hello")
            site.daemon.spool.add(Occurrence("entered", 1.0, 7, camera="bedroom"))
            event = await viewer.hear("event")
            return hello, event["event"], await viewer.hear("state")

    hello, event, state = site.visit(work)
    assert (hello["camera"], hello["pictures"], event["camera"]) == ("", "off", "bedroom")
    assert (list(state["cameras"]), state["camera"]) == (["hall", "bedroom"], None)


def test_figures_of_all_cameras_come_with_the_state(site, monkeypatch):
    tracked = TrackedPerson(somebody(), "lying", 1.0, ("bed",))
    monkeypatch.setattr(Channel, "sees", property(lambda channel: channel.name == "bedroom"))
    monkeypatch.setattr(Scene, "people", property(lambda _: [tracked]))

    async def work(client):
        async with site.view(client, "") as viewer:
            return await viewer.hear("state")

    cameras = site.visit(work)["cameras"]
    [person] = cameras["bedroom"]["seen"]
    assert (person["posture"], person["zones"], cameras["hall"]["seen"]) == ("lying", ["bed"], [])
    assert person["keypoints"]["nose"]


def test_whoever_looks_at_all_cameras_starts_anew_with_one(site):
    async def work(client):
        async with site.view(client, "") as viewer:
            await viewer.hear("state")
            site.reload(cameras={"hall": {}})
            while (message := await viewer.socket.receive()).type in SAID:
                pass
        async with site.view(client, "") as viewer:
            return message.type, (await viewer.hear("hello"))["camera"]

    assert site.visit(work) == (aiohttp.WSMsgType.CLOSED, "hall")


def test_a_removed_camera_ends_the_talk_and_its_page(site):
    async def work(client):
        async with site.view(client, "bedroom") as viewer, site.view(client) as other:
            await viewer.hear("state")
            site.reload(cameras={"hall": {}, "attic": {}})
            while (message := await viewer.socket.receive()).type in SAID:
                pass
            async with client.get("/bedroom") as page:
                return message.type, page.status, (await other.shown(NOISE))[0]["frame"]["width"]

    try:
        assert site.visit(work) == (aiohttp.WSMsgType.CLOSED, 404, 320)
    finally:
        site.daemon.pipeline.stop(5)


def test_the_only_camera_is_seen_without_its_name(site):
    async def work(client):
        site.reload(cameras={"bedroom": {}})
        async with site.view(client, "") as viewer:
            return (await viewer.hear("hello"))["camera"]

    assert site.visit(work) == "bedroom"


def test_viewers_of_a_changed_camera_stay(site):
    async def work(client):
        async with site.view(client, "bedroom") as viewer:
            await viewer.hear("hello")
            site.reload(cameras={"hall": {}, "bedroom": {"kind": "video", "source": "nothing.mp4"}})
            while (await viewer.hear("state"))["camera"]["kind"] != "video":
                pass
            return (await viewer.shown(NOISE, camera="bedroom"))[0]["frame"]["width"]

    try:
        assert site.visit(work) == 320
    finally:
        site.daemon.pipeline.stop(5)


# What the page asks for

ROOM = {"polygon": [[0, 0], [1, 0], [1, 1]], "kind": "resting", "anchor": "hips"}


def ask(site: Site, verb: str, body: Any) -> tuple[int, Any]:
    """What the page is answered."""

    async def work(client):
        headers = {"Origin": site.url}
        async with client.post(f"/api/request/{verb}", json=body, headers=headers) as answer:
            return answer.status, (
                await answer.json() if answer.status in {200, 422} else await answer.text()
            )

    return site.visit(work)


def draw(site: Site, zones: Any, camera: str = "hall") -> tuple[int, Any]:
    """What whoever draws zones is answered."""
    return ask(site, "set", {"camera": camera, "settings": {"zones": zones}, "persist": True})


def test_zones_are_taken_and_kept(site):
    status, answer = draw(site, {"bed": ROOM}, "bedroom")
    assert (status, answer["data"]["persisted"], answer["data"]["camera"]) == (200, True, "bedroom")
    overlay = site.state / "overlay.yaml"
    assert yaml.safe_load(overlay.read_text())["cameras"]["bedroom"]["zones"]["bed"]["kind"] == "resting"
    cameras = site.daemon.live.config.cameras
    assert (cameras["bedroom"].zones["bed"].anchor, cameras["hall"].zones) == ("hips", {})
    assert draw(site, {}, "bedroom")[0] == 200
    assert site.daemon.live.config.cameras["bedroom"].zones == {}


def test_who_looks_sees_new_zones_at_once(site):
    drawn = {"camera": "hall", "settings": {"zones": {"bed": ROOM}}}

    async def work(client):
        async with site.view(client) as viewer:
            await viewer.hear("state")
            async with client.post("/api/request/set", json=drawn, headers={"Origin": site.url}):
                pass
            async with asyncio.timeout(0.5):
                return await viewer.hear("state")

    state = site.visit(work)
    assert state["camera"]["settings"]["zones"]["bed"]["kind"] == "resting"
    assert state["cameras"]["hall"]["zones"]["bed"]["polygon"] == ROOM["polygon"]


@pytest.mark.parametrize(
    ("zone", "rule"),
    [
        (
            ROOM | {"polygon": [[0, 0], [1, 1]]},
            "cameras.hall.zones.bed.polygon: must have 3 to 100 points, got 2",
        ),
        (ROOM | {"polygon": [[0, 0], [2, 0], [1, 1]]}, "must be inside the frame, 0 to 1, got [2, 0]"),
        (ROOM | {"polygon": [[0, 0], [1, 1], [1, 0], [0, 1]]}, "must not cross itself"),
        (ROOM | {"kind": "sofa"}, "cameras.hall.zones.bed.kind: must be normal, resting, exclude or exit"),
        ({"polygon": ROOM["polygon"], "colour": "red"}, "unknown key"),
    ],
)
def test_zones_are_held_against_the_rules_of_the_file(site, zone, rule):
    status, answer = draw(site, {"bed": zone})
    assert (status, answer["status"]) == (422, "error")
    assert rule in answer["error"]
    assert not (site.state / "overlay.yaml").exists()


def test_zones_of_an_unknown_camera_are_refused(site):
    status, answer = draw(site, {"bed": ROOM}, "kitchen")
    assert (status, answer["error"]) == (422, "camera: must be one of hall, bedroom, got 'kitchen'")


def test_whoever_looks_may_clear_a_fall(site):
    event = site.daemon.spool.add(Occurrence("fall", 1.0, 7, camera="hall"))
    status, answer = ask(site, "clear_fall", {"camera": "hall", "event": event})
    assert (status, len(answer["data"]["cameras"]["hall"]["events"])) == (200, 1)
    assert site.daemon.spool.falls == ()
    status, answer = ask(site, "clear_fall", {"camera": "hall", "event": event})
    assert (status, answer["error"][:6]) == (422, "event:")


def test_whoever_looks_may_try_the_alarm(site):
    assert ask(site, "test_event", {"camera": "hall", "type": "fall"})[0] == 200
    assert site.daemon.spool.falls == ()


def test_whoever_looks_may_pause_and_watch_again(site):
    feed = site.daemon.channels["bedroom"].feed
    assert (ask(site, "pause", {"camera": "bedroom"})[0], feed.paused) == (200, True)
    assert (ask(site, "resume", {"camera": "bedroom"})[0], feed.paused) == (200, False)


@pytest.mark.parametrize("verb", ["restart", "snapshot", "record", "info", "nothing"])
def test_the_page_may_ask_for_nothing_else(site, verb):
    status, said = ask(site, verb, {})
    assert (status, said) == (404, "must be one of clear_fall, pause, resume, set, test_event\n")


def test_what_pictures_show_the_page_cannot_change(site):
    before = site.daemon.live.config
    status, answer = ask(site, "set", {"camera": "hall", "settings": {"privacy.pictures": "full"}})
    assert (status, "privacy.pictures" in answer["error"]) == (422, True)
    assert site.daemon.live.config == before


@pytest.mark.parametrize("body", [[], "x", {"camera": "hall"}, {"settings": 1}, {"settings": {}, "more": 1}])
def test_what_is_no_request_is_refused(site, body):
    assert ask(site, "set", body)[0] == 422


def test_a_form_of_another_page_cannot_look_like_a_request(site):
    async def work(client):
        headers = {"Origin": site.url, "Content-Type": "text/plain"}
        async with client.post("/api/request/resume", data="{}", headers=headers) as answer:
            return answer.status

    assert site.visit(work) == 415


def test_too_much_is_refused(site):
    assert draw(site, {"a" * 70_000: ROOM})[0] == 413


# The timeline


def kept(site: Site, camera: str) -> tuple[list[str], list[str]]:
    """How a camera did in the last minute, and the types of its events."""
    now = time.time()
    status, _, text = site.get(f"/api/timeline?from={now - 60}&to={now + 60}&camera={camera}")
    assert status == 200
    day = json.loads(text)
    kinds = [kind for *_, kind in day["bands"].get(camera, [])]
    return kinds, [event["type"] for event in day["events"]]


def test_how_cameras_do_is_kept_though_nobody_looks(site):
    site.daemon.spool.add(Occurrence("fall", time.time(), 7, camera="hall"))
    site.server.serve()
    eventually(lambda: kept(site, "hall") == (["fall"], ["fall"]))


def test_a_blind_camera_is_no_empty_room_in_the_timeline(site):
    site.daemon.channels["hall"].feed.pause()
    site.server.serve()
    eventually(lambda: kept(site, "hall") == (["paused"], []))
    eventually(lambda: kept(site, "bedroom") == (["blind"], []))


def test_no_timeline_is_kept_where_none_is_wanted(tmp_path):
    with Site(tmp_path, {"timeline_days": 0}) as site:

        async def work(client):
            async with site.view(client) as viewer:
                return await viewer.hear("hello")

        assert site.visit(work)["timeline_days"] == 0
        assert not list(site.state.glob("timeline*"))


# The page's files


def test_every_address_in_the_page_is_relative(site):
    for name in ("", "static/style.css", *(f"static/{file.name}" for file in FILES.glob("*.js"))):
        text = site.get(f"/{name}")[2]
        assert not re.findall(r"""(?:src|href|action|from|url)\s*[=( ]\s*["'(]/""", text), name


def test_the_page_is_small(site):
    names = [f"static/{file.name}" for file in FILES.iterdir() if file.suffix != ".html"]
    assert sum(len(site.get(f"/{name}")[2].encode()) for name in ["", *names]) < 120_000


def test_what_is_for_people_alone_stays_here(site):
    text = site.get("/static/app.js")[2]
    assert "\n//" not in text
    assert "\n\t" not in text
    assert "import { Contact }" in text


def test_the_page_speaks_every_language_that_has_texts(site):
    assert 'name="languages" content="en"' in site.get("/")[2]
    assert languages(["texts.en.js", "texts.de.js", "app.js", "texts.js"]) == ["de", "en"]


# What it costs


def test_nothing_is_encoded_while_nobody_looks(site):
    async def work(client):
        for _ in range(20):
            site.show(NOISE, somebody())
            await asyncio.sleep(0.01)
        async with site.view(client) as viewer:
            await viewer.shown(NOISE)
        seen = site.server.stream.cameras["hall"].encoded
        while site.server.stream.viewers:
            await asyncio.sleep(0.01)
        for _ in range(20):
            site.show(NOISE, somebody())
            await asyncio.sleep(0.01)
        return seen

    assert 1 <= site.visit(work) == site.server.stream.cameras["hall"].encoded


def test_ten_viewers_share_one_encoding(site):
    async def work(client):
        sockets = [await client.ws_connect("/live/hall", origin=site.url) for _ in range(10)]
        viewers = [Viewer(site, socket_) for socket_ in sockets]
        while site.server.stream.viewers < 10:
            await asyncio.sleep(0.01)
        site.show(NOISE)
        seen = [await viewer.see() for viewer in viewers]
        for socket_ in sockets:
            await socket_.close()
        return seen

    seen = site.visit(work)
    assert len({about["sequence"] for about, _ in seen}) == 1
    assert site.server.stream.cameras["hall"].encoded == 1


def test_a_viewer_that_stopped_taking_frames_gets_the_newest_next(site):
    async def work(client):
        async with site.view(client) as slow, site.view(client) as quick:
            await slow.hear("hello")
            for _ in range(5):
                last, _ = await quick.shown(NOISE)
                await quick.socket.send_str("next")
            first = [(await slow.see())[0]["sequence"] for _ in range(IN_FLIGHT)]
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await slow.see()
            await slow.socket.send_str("next")
            return first, last["sequence"], (await slow.shown(NOISE))[0]["sequence"]

    first, last, newest = site.visit(work)
    assert first == sorted(first)
    assert first[-1] < last < newest


def test_a_viewer_that_reads_nothing_holds_up_nobody(site):
    request = (
        f"GET /live/ HTTP/1.1\r\nHost: localhost:{site.port}\r\nOrigin: http://localhost:{site.port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )

    async def work(client):
        for _ in range(10):
            about, _ = await quick_look(client)
        return about

    async def quick_look(client):
        async with site.view(client) as viewer:
            return await viewer.shown(NOISE)

    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        raw.connect(("127.0.0.1", site.port))
        raw.sendall(request.encode())
        eventually(lambda: site.server.stream.viewers == 1)
        assert site.visit(work)["frame"]["width"] == 320


def test_what_is_no_word_of_the_page_ends_the_talk(site):
    async def work(client):
        async with site.view(client) as viewer:
            await viewer.socket.send_str("more")
            while (message := await viewer.socket.receive()).type is aiohttp.WSMsgType.TEXT:
                pass
            return message.type

    assert site.visit(work) in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}


def test_no_number_of_connections_takes_all_files(tmp_path):
    limits = Limits(connections=50, per_owner=50, request_s=60)
    with Site(tmp_path, limits=limits) as site:
        with crowd(site, limits.connections + TOO_MANY) as visitors:
            eventually(lambda: sum(is_ended(visitor) for visitor in visitors) >= TOO_MANY)
        eventually(lambda: status_of(site) == 200)


def test_one_address_leaves_room_for_others(guarded):
    with crowd(guarded, guarded.server.limits.per_owner + TOO_MANY) as visitors:
        eventually(lambda: sum(is_ended(visitor) for visitor in visitors) >= TOO_MANY)
        with socket.create_connection(("127.0.0.1", guarded.port), 5, ("127.0.0.2", 0)) as other:
            other.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert other.recv(100).startswith(b"HTTP/1.0 401")
    eventually(lambda: status_of(guarded) == 401)


TOO_MANY = 5


@contextmanager
def crowd(site: Site, count: int) -> Iterator[list[socket.socket]]:
    """Connections that send nothing.

    One more than too many may be ended: the server counts the visitor before them until it has seen it leave.
    """
    with ExitStack() as stack:
        address = ("127.0.0.1", site.port)
        yield [stack.enter_context(socket.create_connection(address)) for _ in range(count)]


def is_ended(visitor: socket.socket) -> bool:
    """Whether the server has ended a connection."""
    try:
        return visitor.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True


def status_of(site: Site) -> int | None:
    """The status of the page; None while the server has not seen yet that a crowd has left."""
    with suppress(aiohttp.ClientConnectionError):
        return site.get()[0]
    return None


FORM = (
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nContent-Length: 20\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n\r\ntoken="
)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX-",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\nGET",
        FORM,
        FORM.replace(b"Origin: http://localhost", b"Origin: http://evil.example"),
    ],
)
def test_who_ends_no_request_does_not_stay(hasty, begun):
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=4) as idle:
        idle.sendall(begun)
        with suppress(ConnectionError):
            while idle.recv(4096):
                pass


def test_headers_that_drip_are_not_waited_for(hasty):
    with socket.create_connection(("127.0.0.1", hasty.port), timeout=5) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\n")
        with pytest.raises(ConnectionError):
            drip(slow)


def drip(slow: socket.socket) -> None:
    """A header now and then."""
    for number in range(100):
        slow.sendall(b"X-%d: 1\r\n" % number)
        time.sleep(0.05)


def test_who_looks_may_be_silent(hasty):
    async def work(client):
        async with hasty.view(client) as viewer:
            await viewer.hear("hello")
            with socket.create_connection(("127.0.0.1", hasty.port)) as idle:
                await asyncio.to_thread(eventually, lambda: is_ended(idle))
            return (await viewer.shown(NOISE))[0]["frame"]["width"]

    assert hasty.visit(work) == 320


def test_a_bug_in_an_answer_is_logged_and_ends_nothing(site, caplog, monkeypatch):
    monkeypatch.setattr(site.server.calls, "ask", lambda *_: 1 / 0)
    assert ask(site, "resume", {})[0] == 500
    assert "ZeroDivisionError" in caplog.text
    assert site.get()[0] == 200


def test_it_stops_with_viewers_that_hang(site):
    async def work(client):
        hanging = await client.ws_connect("/live/", origin=site.url)
        while not site.server.stream.viewers:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(site.server.stop, 5)
        return hanging

    site.visit(work)
    assert "web" not in {thread.name for thread in threading.enumerate()}
    assert not site.listens()


def test_a_port_that_is_taken_is_waited_for(tmp_path, caplog):
    site = Site(tmp_path)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", site.port))
        other.listen()
        site.server.start()
        eventually(
            lambda: f"live view: waiting for {site.url}/: address already in use" in caplog.text.lower()
        )
    eventually(lambda: site.server.listening)
    site.server.stop(5)


# The whole daemon


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    """Of a daemon that shows what it sees, without a broker."""
    return settings | {
        "mqtt": {"host": "127.0.0.1", "port": free_port()},
        "privacy": {"pictures": "full"},
        "web": {"enabled": True, "port": free_port()},
    }


def test_a_daemon_shows_what_it_sees_and_stops_with_viewers(tmp_path, settings):
    url = f"http://127.0.0.1:{settings['web']['port']}"

    async def work(daemon: Daemon) -> tuple[dict[str, Any], bytes, dict[str, Any], int]:
        async with aiohttp.ClientSession() as client, asyncio.timeout(40):
            while "live view: http" not in daemon.log():
                await asyncio.sleep(0.05)
            sockets = [await client.ws_connect(f"{url}/live/", origin=url) for _ in range(3)]
            viewers = [Viewer(None, socket_) for socket_ in sockets]
            event = await viewers[1].hear("event")
            while True:
                about, jpeg = await viewers[0].see()
                await sockets[0].send_str("next")
                if about["people"]:
                    break
            status = await asyncio.to_thread(daemon.stop, signal.SIGTERM)
            for socket_ in sockets:
                await socket_.close()
            return about, jpeg, event["event"], status

    with Daemon(tmp_path, settings) as daemon:
        about, jpeg, event, status = asyncio.run(work(daemon))
        assert "live view" in daemon.log()
        assert "Traceback" not in daemon.log()
    assert status == 0
    assert (about["frame"], about["people"][0]["id"]) == ({"width": 130, "height": 98}, 1)
    assert {"capture", "letterbox", "invoke", "decode", "follow"} <= set(about["stages_ms"])
    assert decoded(jpeg)[49, 65].tolist()[0] > 200
    assert event["type"] == "entered"


def test_a_daemon_without_it_does_not_listen(tmp_path, settings):
    settings["web"]["enabled"] = False
    with Daemon(tmp_path, settings) as daemon:
        eventually(lambda: "Person 1" in daemon.log(), 20)
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", settings["web"]["port"])) != 0


def test_a_pose_far_outside_does_no_harm(site):
    far = Pose(np.full((17, 2), 1e12), np.full(17, 0.9), 0.9)
    person = Person(1, far, np.ones(17, bool), seen=True, size_px=100, raw=far)

    async def work(client):
        async with site.view(client) as viewer:
            return await viewer.shown(NOISE, person)

    assert json.dumps(site.visit(work)[0])
