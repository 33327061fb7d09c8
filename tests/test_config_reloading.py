"""A configuration that was changed while the daemon runs: what of it applies at once, and what does not."""

from __future__ import annotations

from typing import Any

from posed.config import Config, reload


def config(**sections: dict[str, Any]) -> Config:
    return Config.model_validate({"device": "hall", **sections})


def test_a_reload_applies_what_it_can_and_names_the_rest():
    running = config(mqtt={"host": "here"})
    wanted = config(
        decode={"score_threshold": 0.5}, log={"level": "debug"}, mqtt={"host": "there", "tls": {}}
    )
    done = reload(running, wanted)
    assert done.applied == ("decode.score_threshold", "log.level")
    assert done.waiting == ("mqtt.host", "mqtt.tls")
    assert done.config.decode.score_threshold == 0.5
    assert done.config.mqtt == running.mqtt


def test_a_reload_of_the_same_changes_nothing():
    done = reload(config(), config())
    assert (done.config, done.applied, done.waiting) == (config(), (), ())


def test_a_reload_names_a_password_and_does_not_show_it():
    done = reload(config(), config(mqtt={"username": "posed", "password": "c4nary"}))
    assert done.waiting == ("mqtt.username", "mqtt.password")
    assert "c4nary" not in repr(done)


def test_cameras_wait_where_an_engine_is_needed_newly():
    own = {"hall": {"kind": "imx500"}}
    with_others = own | {"bath": {"kind": "synthetic"}}
    done = reload(config(cameras=own), config(cameras=with_others))
    assert (done.applied, done.waiting) == ((), ("cameras.bath",))
    assert list(done.config.cameras) == ["hall"]
    more = with_others | {"bed": {"kind": "synthetic"}}
    assert reload(config(cameras=with_others), config(cameras=more)).applied == ("cameras.bed",)
