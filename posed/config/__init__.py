"""The configuration: what can be set, and the way from files and variables to a `Config`."""

from __future__ import annotations

from posed.config.defaults import with_defaults
from posed.config.environment import overriding
from posed.config.live import (
    LiveConfig,
    bounds_of,
    camera_settings,
    changed,
    given_settings,
    live_settings,
    live_values,
    where_of_setting,
)
from posed.config.loading import load, load_for_daemon
from posed.config.overlay import damaged_file, keep
from posed.config.page import page_url
from posed.config.reloading import Reloaded, reload
from posed.config.secrets import SECRETS_FILE, mqtt_password
from posed.config.sections import (
    CAMERA,
    CameraConfig,
    Config,
    DecodeConfig,
    EngineConfig,
    HomeAssistantConfig,
    LogConfig,
    ModelConfig,
    MqttConfig,
    MqttEventsConfig,
    MqttPosesConfig,
    PeopleConfig,
    PrivacyConfig,
    TlsConfig,
    WebConfig,
    ZoneConfig,
    default_device,
)

__all__ = [
    "CAMERA",
    "SECRETS_FILE",
    "CameraConfig",
    "Config",
    "DecodeConfig",
    "EngineConfig",
    "HomeAssistantConfig",
    "LiveConfig",
    "LogConfig",
    "ModelConfig",
    "MqttConfig",
    "MqttEventsConfig",
    "MqttPosesConfig",
    "PeopleConfig",
    "PrivacyConfig",
    "Reloaded",
    "TlsConfig",
    "WebConfig",
    "ZoneConfig",
    "bounds_of",
    "camera_settings",
    "changed",
    "damaged_file",
    "default_device",
    "given_settings",
    "keep",
    "live_settings",
    "live_values",
    "load",
    "load_for_daemon",
    "mqtt_password",
    "overriding",
    "page_url",
    "reload",
    "where_of_setting",
    "with_defaults",
]
