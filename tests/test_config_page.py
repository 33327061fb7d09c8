"""Where the live view is found."""

from __future__ import annotations

import socket

import pytest

from posed.config import WebConfig, page_url


def web(host: str, port: int = 8460) -> WebConfig:
    return WebConfig(enabled=True, host=host, port=port, token="a-token-of-more-than-16-characters")


@pytest.mark.parametrize(
    ("host", "url"),
    [("192.168.1.5", "http://192.168.1.5:8460/"), ("fd00::5", "http://[fd00::5]:8460/")],
)
def test_its_address_is_where_it_listens(host, url):
    assert page_url(web(host), "pi") == url


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
@pytest.mark.parametrize("name", ["pi", "pi.lan"])
def test_its_name_is_this_machines_where_it_listens_everywhere(host, name):
    assert page_url(web(host, 80), name) == "http://pi.local:80/"


def test_a_containers_id_is_no_name():
    assert page_url(web("0.0.0.0"), "3f2a9c0d1e4b") is None
    assert page_url(web("192.168.1.5"), "3f2a9c0d1e4b") == "http://192.168.1.5:8460/"
    assert page_url(web("0.0.0.0"), "deadbeef") == "http://deadbeef.local:8460/"


@pytest.mark.parametrize("name", ["localhost", "localhost.localdomain", ""])
def test_a_name_that_only_this_machine_knows_is_none(name):
    assert page_url(web("0.0.0.0"), name) is None


def test_an_address_with_a_zone_is_nobody_elses():
    assert page_url(web("fe80::5%eth0"), "pi") is None


def test_the_system_is_asked_for_the_name():
    short = socket.gethostname().partition(".")[0]
    assert page_url(web("0.0.0.0")) == f"http://{short}.local:8460/"
