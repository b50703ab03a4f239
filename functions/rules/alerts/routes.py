"""Routes: which channels an episode goes to by its severity, and where to after how long."""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

import msgspec

from functions.rules.alerts.rule import check_period
from storage.model.periods import parse_period

__all__ = ["STOCK_ROUTES", "STOCK_STEPS", "Routes", "Step"]

_CHANNEL_EXAMPLE = "a name of a channel such as 'on-call'"


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A step of an escalation: channels `to`; `after` so long without an answer, step `then`."""

    to: tuple[str, ...]
    after: str | None = None
    then: str | None = None

    def __post_init__(self) -> None:
        if (self.after is None) != (self.then is None):
            raise ValueError("one of after and then is given, expected both or none")
        check_period("after", self.after)
        for channel in self.to:
            if not channel.strip() or "," in channel:
                raise ValueError(f"to has {channel!r}, expected {_CHANNEL_EXAMPLE}")


# The stock ladder: who hears of a severity, and who is next when nobody answers.
STOCK_ROUTES: Mapping[str, str] = {
    "imminent": "imminent", "critical": "on-call", "danger": "team-lead", "warning": "team",
    "degrading": "mail",
}  # fmt: skip
STOCK_STEPS: Mapping[str, Step] = {
    "imminent": Step(("on-call",), "5m", "senior"),
    "on-call": Step(("on-call",), "15m", "senior"),
    "senior": Step(("senior",), "15m", "director"),
    "director": Step(("director",)),
    "team-lead": Step(("team-lead",), "30m", "on-call"),
    "team": Step(("team",)),
    "mail": Step(("mail",)),
}


class Routes(msgspec.Struct, frozen=True):
    """The step that each severity (by its slug) begins with, and all steps by name."""

    first: Mapping[str, str]
    steps: Mapping[str, Step]

    def problem(self) -> str | None:
        """Return what is wrong with them, in words: a step that is missing, or a circle."""
        for severity, name in self.first.items():
            path = [name]
            while True:
                step = self.steps.get(path[-1])
                if step is None:
                    known = ", ".join(sorted(self.steps))
                    return f"step {path[-1]!r} of {severity} is missing (there are {known})"
                if step.then is None:
                    break
                if step.then in path:
                    circle = " → ".join([*path[path.index(step.then) :], step.then])
                    return (
                        f"the escalation of {severity} goes in a circle: {circle}; leave after and "
                        "then out of its last step"
                    )
                path.append(step.then)
        return None

    def among(self, channels: Collection[str]) -> "Routes":
        """Return the routes with stock steps that name only these channels.

        Where none of them has a name of the stock ladder, all take what it would send first.
        """
        named = {channel for step in STOCK_STEPS.values() for channel in step.to}
        everyone = () if named.intersection(channels) else tuple(sorted(channels))
        steps = {}
        for name, step in self.steps.items():
            to = tuple(channel for channel in step.to if channel in channels)
            if not to and name in STOCK_ROUTES.values():
                to = everyone
            is_stock = step == STOCK_STEPS.get(name)
            steps[name] = msgspec.structs.replace(step, to=to) if is_stock else step
        return Routes(self.first, steps)

    def ladder(self, severity: str) -> Sequence[tuple[timedelta, tuple[str, ...]]]:
        """Return the steps of a severity: how long after the first one, and to which channels."""
        ladder, name, after = [], self.first.get(severity), timedelta(0)
        while name is not None:
            step = self.steps[name]
            if step.to:
                ladder.append((after, step.to))
            after += parse_period(step.after) if step.after else timedelta(0)
            name = step.then
        return ladder
