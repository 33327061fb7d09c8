"""Events in plain English, one sentence each: for the log, the command line and whoever else tells people."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Protocol

from posed.people.events import EventType

_ON: Final = frozenset(
    {"balcony", "bench", "carpet", "floor", "landing", "lawn", "mat", "patio", "porch", "rug", "stairs"}
    | {"staircase", "steps", "terrace"}
)
_FURNITURE: Final = frozenset(
    {"armchair", "bed", "chair", "couch", "cot", "cushion", "futon", "mattress", "recliner", "settee", "sofa"}
    | {"stool", "toilet", "wheelchair"}
)
_AT: Final = frozenset(
    {"bookcase", "counter", "cupboard", "desk", "door", "doorway", "dresser", "entrance", "exit", "fireplace"}
    | {"fridge", "gate", "hob", "oven", "piano", "shelf", "sink", "stove", "table", "tv", "wardrobe"}
    | {"window", "workbench"}
)
"""People are on the rug, on the sofa when they sit or lie and by it when they do not, at the door, and in
whatever has none of these names; the last word of a zone's or camera's name decides."""

_SEEN: Final = {"lying": ", seen lying", "vanished": ", not seen any more"}

_NO_PLACE: Final = re.compile(r"(cam(era)?(_?\d+)?)?")
"""Names of cameras that do not say what they show; the default one is of them."""

_GESTURES: Final = {
    "left_hand_raised": "raised the left hand",
    "right_hand_raised": "raised the right hand",
    "both_hands_raised": "raised both hands",
}


class Told(Protocol):
    """What is known of an event: an `EventMessage` has it, and so has the event of a recording."""

    @property
    def type(self) -> EventType:
        """Type of event."""

    @property
    def camera(self) -> str:
        """Name of the camera; empty if that is not known."""

    @property
    def person(self) -> int | None:
        """Who; None if that is not known."""

    @property
    def zone(self) -> str | None:
        """Where; None outside all zones."""

    @property
    def detail(self) -> Mapping[str, Any]:
        """More about it, by type."""


def event_in_words(event: Told) -> str:
    """One sentence, without a full stop, that says what happened, to whom and where.

    Args:
        event: of any type; where its detail is missing, as in a test of an alarm, the sentence says less.
    """
    who, detail = _who(event), event.detail
    match event.type:
        case "entered":
            text = f"{who} {_came(event.camera)}{_at_zone(event, ', ')}"
        case "left" | "zone_left" if detail.get("how") == "lost":
            text = f"{who} is not seen any more{_where(event)}"
        case "left":
            text = f"{who} left {_view(event.camera) or _named(event.camera)}"
        case "zone_entered" | "zone_left":
            did = "came to" if event.type == "zone_entered" else "left"
            text = f"{who} {did} {_zone(event)}{_at_camera(event)}"
        case "posture":
            text = f"{who} {_posture(event)}"
        case "gesture":
            text = f"{who} {_GESTURES.get(detail.get('gesture', ''), 'raised a hand')}{_where(event)}"
        case "fall":
            text = f"{who} has fallen{_where(event)}{_SEEN.get(detail.get('seen', ''), '')}"
        case "fall_cleared":
            text = f"The fall{_where(event)} is over{_why_over(event)}"
    return f"{text} (a test)" if detail.get("test") else text


def _posture(event: Told) -> str:
    now, before = event.detail.get("posture", ""), event.detail.get("before", "")
    match now, before:
        case "standing", "sitting" | "lying":
            from_it = event.zone is not None and _kind(event.zone) in _FURNITURE
            where = f" from {_zone(event)}{_at_camera(event)}" if from_it else _where(event)
            return f"stood up{where}"
        case "sitting", "standing" | "lying":
            return f"sat {'down' if before == 'standing' else 'up'}{_where(event, rests=True)}"
        case "lying", "standing" | "sitting":
            return f"lay down{_where(event, rests=True)}"
        case "", _:
            return f"changed posture{_where(event)}"
    return f"is {now}{_where(event, rests=now != 'standing')}"


def _why_over(event: Told) -> str:
    who = "whoever fell" if event.person is None else f"person {event.person}"
    why = {"upright": f"{who} is up again", "left": f"{who} has left", "request": "somebody looks after it"}
    by = event.detail.get("by")
    return f": {why[by]}" if by in why else ""


def _who(event: Told) -> str:
    return "Somebody" if event.person is None else f"Person {event.person}"


def _came(camera: str) -> str:
    """How somebody came to where a camera looks."""
    if view := _view(camera):
        return f"came into {view.removeprefix('the ')}"
    return f"came {'into' if _preposition(camera) == 'in' else 'to'} {_named(camera)}"


def _where(event: Told, *, rests: bool = False) -> str:
    """In which zone and before which camera, after a space.

    Args:
        event: says both.
        rests: whether somebody sits or lies.
    """
    return f"{_at_zone(event, ' ', rests=rests)}{_at_camera(event)}"


def _at_zone(event: Told, between: str, *, rests: bool = False) -> str:
    if event.zone is None:
        return ""
    return f"{between}{_preposition(event.zone, rests=rests)} {_named(event.zone)}"


def _at_camera(event: Told) -> str:
    """At which camera, after a space; nothing where the zone has its name, or where it is the only one."""
    name = event.camera
    if name == event.zone or _view(name) == "the view":
        return ""
    return f" in {_view(name)}" if _view(name) else f" {_preposition(name)} {_named(name)}"


def _view(camera: str) -> str:
    """What a camera shows, if its name does not say it."""
    if not _NO_PLACE.fullmatch(camera):
        return ""
    return f"the view of {_named(camera)}" if camera[-1:].isdigit() else "the view"


def _zone(event: Told) -> str:
    return "a zone" if event.zone is None else _named(event.zone)


def _preposition(place: str, *, rests: bool = False) -> str:
    kind = _kind(place)
    if kind in _FURNITURE:
        return "on" if rests else "by"
    return "on" if kind in _ON else "at" if kind in _AT else "in"


def _kind(name: str) -> str:
    """The last word of a name, without a number: `bed` of `Spare-bed_2`."""
    words = re.findall(r"[a-z]+", name.lower())
    return words[-1] if words else ""


def _named(name: str) -> str:
    """A name in a sentence: `living_room` is the living room, `bed_2` is bed 2."""
    text = name.replace("_", " ").strip() or name
    return text if text[-1:].isdigit() else f"the {text}"
