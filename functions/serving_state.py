"""Serving state: the newest calibration and race of a model, as the lake has them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from functions.engine.window import Window
from functions.rules.serving.recipes import ServingState
from functions.rules.serving.state_rows import (
    NamedCalibration,
    NamedRace,
    calibration_state,
    race_state,
)
from storage.config.settings import settings_in_force
from storage.query.windows import Contexts

__all__ = ["profiles_of", "read_calibration", "read_race", "serving_state"]

GENERIC = "generic"
# The newest state is at most so old, unless the model did not serve for longer.
USUAL_AGE = timedelta(days=2)
ANY_AGE = datetime(1970, 1, 1, tzinfo=UTC)
# The race of one hour is written in portions of servers.
PORTIONS_SPAN = timedelta(hours=6)


def serving_state(window: Window, model: str, contexts: Contexts) -> ServingState:
    """Return what the scores of this model's forecasts have taught, unless that is turned off."""
    if not settings_in_force(window.reader.folders.data).loop.correct:
        return ServingState(None, NamedRace.new(contexts.servers))
    calibration, until = read_calibration(window, model, contexts.stop)
    race = read_race(window, model, until or contexts.stop, contexts.servers)
    return ServingState(calibration if until else None, race)


def read_calibration(
    window: Window, model: str, until: datetime
) -> tuple[NamedCalibration, datetime | None]:
    """Return the newest state of a model from hours that ended by `until`, and that end.

    A model that serves again has the state that it had. Without one it is a new state and None.
    """
    for since in (until - USUAL_AGE, ANY_AGE):
        states = window.reader.named(
            "windows/calibration_state", model=model, since=since, now=until
        )
        if states.num_rows:
            return calibration_state(states), states["ts"][0].as_py()
    return NamedCalibration.new(), None


def read_race(window: Window, model: str, until: datetime, servers: Sequence[str]) -> NamedRace:
    """Return the state of the race for `servers`, in order of name, from hours ended by `until`."""
    if not servers:
        return NamedRace.new(servers)
    states = window.reader.named(
        "windows/race_state", model=model, since=until - PORTIONS_SPAN, now=until,
        first=servers[0], last=servers[-1],
    )  # fmt: skip
    return race_state(states).of(servers)


def profiles_of(window: Window, servers: Sequence[str]) -> list[str]:
    """Return the profile of each server."""
    known = window.sql("SELECT server, profile FROM servers")
    profile = dict(zip(known["server"].to_pylist(), known["profile"].to_pylist(), strict=True))
    return [profile.get(server) or GENERIC for server in servers]
