"""Time zones by their IANA names, from the package `tzdata`, so that all machines have the same ones."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache, lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

LONGEST = 50  # characters; every name is shorter, and the limit bounds the time of the search for a similar one
UNKNOWN = "must be an IANA time zone such as Europe/Berlin"


@lru_cache(maxsize=256)
def zone_name(text: str) -> str:
    """Return the IANA name of the time zone in `text`, whose case does not matter.

    Browsers send `Etc/Unknown` if they do not know the zone (Unicode CLDR); it becomes UTC. Raises ValueError with the
    nearest known name.
    """
    if len(text) > LONGEST:
        raise ValueError(UNKNOWN)
    zones, wanted = _zones(), text.lower()
    if found := zones.get(wanted):
        return found
    city = wanted.replace(" ", "_")
    names = [name for key, name in zones.items() if key.rpartition("/")[2] == city] or [
        zones[key] for key in get_close_matches(wanted, zones, n=1, cutoff=0.7)
    ]
    hint = f"; did you mean '{names[0]}'?" if names else ""
    raise ValueError(UNKNOWN + hint)


def read_zone(text: str) -> ZoneInfo:
    """Return the time zone that `text` names. Raises ValueError as `zone_name` does.

    Only names of the list reach the file system, so a text is never read as a path.
    """
    return _zone(zone_name(text))


@cache
def _zone(name: str) -> ZoneInfo:
    with (files("tzdata") / "zoneinfo" / name).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


@cache
def _zones() -> dict[str, str]:
    """Return the time zones of the package `tzdata`, by their names in lower case.

    `zoneinfo.available_timezones()` would add names of this machine, such as `localtime`, which differ between
    machines.
    """
    names = (files("tzdata") / "zones").read_text(encoding="ascii").split()
    return {name.lower(): name for name in names} | {"etc/unknown": "UTC"}
