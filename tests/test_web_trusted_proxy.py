"""One address from which everybody has been let in already; the proxy of the tests is 127.0.0.2."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import aiohttp
import pytest
import yaml

from posed.config import load
from posed.errors import ConfigError
from posed.web.authenticator import TrustedProxy
from posed.web.connection import Limits
from tests.configs import write
from tests.web_site import TOKEN, Site

T = TypeVar("T")

PROXY = "127.0.0.2"
PAGE = "https://home.example.org"
"""Where a browser has the page open."""

ONLY = (403, "must come through web.trusted_proxy\n")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """One that others could reach, without a token."""
    with Site(tmp_path, {"host": "0.0.0.0", "trusted_proxy": PROXY}) as running:
        yield running


def through(site: Site, work: Callable[[aiohttp.ClientSession], Awaitable[T]], address: str = PROXY) -> T:
    """What a visitor does who comes from an address of this machine."""

    async def visitor(_client: aiohttp.ClientSession) -> T:
        connector = aiohttp.TCPConnector(local_addr=(address, 0), limit=0)
        async with aiohttp.ClientSession(site.url, connector=connector) as client:
            return await work(client)

    return site.visit(visitor)


def got(site: Site, path: str = "/", address: str = PROXY, **headers: str) -> tuple[int, str]:
    """Status and text of an answer; `_` in headers stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def work(client: aiohttp.ClientSession) -> tuple[int, str]:
        async with client.get(path, headers=named) as answer:
            return answer.status, await answer.text()

    return through(site, work, address)


def headers_for(site: Site, address: str) -> dict[str, str]:
    async def work(client: aiohttp.ClientSession) -> dict[str, str]:
        async with client.get("/") as answer:
            return dict(answer.headers)

    return through(site, work, address)


def pressed(site: Site, **headers: str) -> int:
    """The status of a change that is asked for through the proxy."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def work(client: aiohttp.ClientSession) -> int:
        async with client.post("/api/request/resume", json={}, headers=named) as answer:
            return answer.status

    return through(site, work)


def test_an_open_address_needs_a_token_or_a_trusted_proxy():
    environment = {"POSED_WEB__ENABLED": "true", "POSED_WEB__HOST": "0.0.0.0"}
    with pytest.raises(ConfigError):
        load(None, environment)
    assert load(None, environment | {"POSED_WEB__TRUSTED_PROXY": "172.30.32.2"}).web.token is None


@pytest.mark.parametrize("address", ["supervisor", "172.30.32.2:80", "172.30.32.0/24", ""])
def test_only_one_address_is_trusted(tmp_path, address):
    file = write(tmp_path, yaml.safe_dump({"web": {"trusted_proxy": address}}))
    with pytest.raises(ConfigError, match=r"^web.trusted_proxy: must be an IP address without port"):
        load(file, {})


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "::ffff:0.0.0.0", "fe80::2%eth0"])
def test_what_no_connection_comes_from_is_refused(tmp_path, address):
    file = write(tmp_path, yaml.safe_dump({"web": {"trusted_proxy": address}}))
    with pytest.raises(ConfigError, match=r"^web.trusted_proxy: must be the one address that connections "):
        load(file, {})


@pytest.mark.parametrize(
    ("address", "peer"),
    [("::ffff:172.30.32.2", "172.30.32.2"), ("2001:DB8:0::5", "2001:db8::5"), ("::1", "::1")],
)
def test_a_proxy_is_known_however_its_address_is_written(tmp_path, address, peer):
    config = load(write(tmp_path, yaml.safe_dump({"web": {"trusted_proxy": address}})), {}).web
    assert TrustedProxy(config.trusted_proxy).is_at(peer)
    assert not TrustedProxy(config.trusted_proxy).is_at("::2")


def test_through_the_proxy_neither_token_nor_known_name_is_needed(site):
    status, page = got(site, Host="home.example.org")
    assert (status, "<canvas" in page) == (200, True)


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/metrics", "/api/settings", "/login"])
def test_without_a_token_nobody_else_is_let_in(site, path):
    assert got(site, path, "127.0.0.1") == ONLY
    assert got(site, path, "127.0.0.3") == ONLY


@pytest.mark.parametrize("name", ["X_Forwarded_For", "X_Real_IP", "Forwarded", "X_Ingress_Path"])
def test_no_header_makes_somebody_the_proxy(site, name):
    assert got(site, "/", "127.0.0.3", **{name: PROXY}) == ONLY


def test_others_need_the_token_where_there_is_one(tmp_path):
    with Site(tmp_path, {"host": "0.0.0.0", "trusted_proxy": PROXY, "token": TOKEN}) as site:
        assert got(site)[0] == 200
        assert got(site, "/", "127.0.0.3")[0] == 401
        assert got(site, "/", "127.0.0.3", Authorization=f"Bearer {TOKEN}")[0] == 200
        assert got(site, "/", "127.0.0.3", Host="home.example.org")[0] == 403


def test_only_who_comes_through_the_proxy_may_frame_the_page(site):
    trusted, other = headers_for(site, PROXY), headers_for(site, "127.0.0.3")
    assert "frame-ancestors 'self'" in trusted["Content-Security-Policy"]
    assert "X-Frame-Options" not in trusted
    assert "frame-ancestors 'none'" in other["Content-Security-Policy"]
    assert other["X-Frame-Options"] == "DENY"


def test_pages_that_are_named_may_frame_it_there_too(tmp_path):
    with Site(tmp_path, {"trusted_proxy": PROXY, "frame_ancestors": [PAGE]}) as site:
        assert f"frame-ancestors 'self' {PAGE};" in headers_for(site, PROXY)["Content-Security-Policy"] + ";"


def test_a_change_must_come_from_the_page_at_the_proxy(site):
    assert pressed(site, Host="home.example.org", Origin=PAGE) == 200
    assert pressed(site, Host="home.example.org", Origin="https://evil.example") == 403
    assert pressed(site, Host="home.example.org", Origin="null") == 403
    assert pressed(site, Host="home.example.org") == 403


def test_the_page_is_where_the_first_proxy_says(site):
    host = "192.168.1.5:8123"
    assert pressed(site, Host=host, X_Forwarded_Host="home.example.org", Origin=PAGE) == 200
    assert pressed(site, Host=host, X_Forwarded_Host="Home.example.org, inner", Origin=PAGE) == 200
    assert pressed(site, Host=host, X_Forwarded_Host="evil.example", Origin=PAGE) == 403
    assert pressed(site, Host=host, X_Forwarded_Host="", Origin="null") == 403


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (PAGE, "home.example.org:443", 200),
        (f"{PAGE}:443", "home.example.org", 200),
        ("http://home.example.org", "home.example.org:80", 200),
        ("http://home.example.org", "home.example.org:443", 403),
        (PAGE, "home.example.org:80", 403),
        (PAGE, "home.example.org:8443", 403),
    ],
)
def test_the_usual_port_may_be_said_or_not(site, origin, host, status):
    assert pressed(site, Host=host, Origin=origin) == status
    assert pressed(site, Host="192.168.1.5:8123", X_Forwarded_Host=host, Origin=origin) == status


@pytest.mark.parametrize("token", [None, TOKEN])
def test_there_is_no_form_through_the_proxy(tmp_path, caplog, token):
    with Site(tmp_path, {"host": "0.0.0.0", "trusted_proxy": PROXY, "token": token}) as site:

        async def work(client: aiohttp.ClientSession) -> int:
            named = {"Host": "home.example.org", "Origin": PAGE}
            async with client.post("/login", data={"token": "x"}, headers=named) as answer:
                return answer.status

        assert through(site, work) == 404
    assert "wrong token" not in caplog.text


def test_others_cannot_say_where_the_page_is(tmp_path):
    with Site(tmp_path) as site:
        assert site.get(Origin=PAGE, X_Forwarded_Host="home.example.org")[0] == 403


def test_what_another_page_embeds_is_refused_through_the_proxy_too(site):
    assert got(site, "/static/app.js", Sec_Fetch_Site="cross-site", Sec_Fetch_Dest="script")[0] == 403
    assert got(site, "/", Sec_Fetch_Site="same-origin", Sec_Fetch_Dest="iframe")[0] == 200


def test_a_viewer_comes_through_the_proxy(site):
    async def work(client: aiohttp.ClientSession) -> aiohttp.WSMsgType:
        named = {"Host": "home.example.org"}
        async with client.ws_connect("/live/hall", origin=PAGE, headers=named) as socket:
            return (await socket.receive()).type

    assert through(site, work) is aiohttp.WSMsgType.TEXT


def test_many_connections_come_through_the_proxy(tmp_path):
    web, limits = {"host": "0.0.0.0", "trusted_proxy": PROXY}, Limits(connections=8, per_owner=3)
    with Site(tmp_path, web, limits) as site:

        async def work(client: aiohttp.ClientSession) -> list[int]:
            async def one() -> int:
                # Each keeps its connection until all have been answered.
                async with client.get("/") as answer:
                    return answer.status

            return await asyncio.gather(*(one() for _ in range(8)))

        assert through(site, work) == [200] * 8
