"""Settings of what brings samples: the built-in sources, and the user's functions."""

import re
from datetime import timedelta

import msgspec

__all__ = ["FunctionSettings", "HostSettings", "SimulatorSettings", "SourceSettings"]

VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class FunctionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function of the user's: the variables of the environment that its file gets."""

    environment: list[str] = []

    def __post_init__(self) -> None:
        for name in self.environment:
            if not VARIABLE.fullmatch(name):
                raise ValueError(f"environment has {name!r}, expected a name such as 'API_TOKEN'")


class HostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """This machine's own metrics."""

    enabled: bool = True


class SimulatorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The simulated fleet; its first start generates `history_days` of history."""

    enabled: bool = False
    servers: int = 20
    seed: int = 7
    history_days: float = 8.0

    def __post_init__(self) -> None:
        if not 1 <= self.servers <= 10_000:
            raise ValueError(f"servers is {self.servers}, expected 1 to 10000")
        if not 0 < self.history_days <= 400:
            raise ValueError(f"history_days is {self.history_days:g}, expected up to 400")

    @property
    def history(self) -> timedelta:
        """The history to generate at the first start."""
        return timedelta(days=self.history_days)


class SourceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The built-in sources."""

    host: HostSettings = HostSettings()
    simulator: SimulatorSettings = SimulatorSettings()
