"""Settings of which samples count: senders, times, devices, profiles, deleted servers."""

import re

import msgspec

from storage.model.periods import parse_period
from storage.model.profiles import PROFILE_NAMES, STOCK_PATTERNS, Patterns
from storage.model.time_limits import TimeLimits

__all__ = [
    "DeletionSettings", "DevicePatterns", "DeviceSettings", "ProfileSettings",
    "RemoteWriteSettings", "ServerSettings", "TimeSettings", "check_server_label",
]  # fmt: skip

LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


def _stock_patterns() -> dict[str, list[str]]:
    return {profile: list(globs) for profile, globs in STOCK_PATTERNS.items()}


class ProfileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Host names by profile, as globs, for servers whose own records state no profile.

    A profile that is left out keeps its stock patterns.
    """

    patterns: dict[str, list[str]] = msgspec.field(default_factory=_stock_patterns)

    def __post_init__(self) -> None:
        for profile in self.patterns:
            if profile not in PROFILE_NAMES:
                known = ", ".join(PROFILE_NAMES)
                raise ValueError(f"patterns has {profile!r}, expected one of {known}")

    @property
    def all_patterns(self) -> Patterns:
        """The globs of each profile, in small letters."""
        return {
            profile: tuple(glob.lower() for glob in globs)
            for profile, globs in (_stock_patterns() | self.patterns).items()
        }


def check_server_label(given: str | list[str]) -> None:
    """Raise ValueError if these are not names of Prometheus labels."""
    names = [given] if isinstance(given, str) else given
    if not names or not all(map(LABEL_NAME.fullmatch, names)):
        raise ValueError(
            f"server_label is {given!r}, expected a label such as 'instance', or several such as "
            "['cluster', 'instance']"
        )


class RemoteWriteSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What Prometheus pushes: the label that names the server, or several that do together."""

    server_label: str | list[str] = "instance"

    def __post_init__(self) -> None:
        check_server_label(self.server_label)


class ServerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many servers one sender (an address, or a source) may add within an hour."""

    new_per_hour: int = 20_000

    def __post_init__(self) -> None:
        if self.new_per_hour < 1:
            raise ValueError(f"new_per_hour is {self.new_per_hour}, expected 1 or more")


class TimeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which times of samples can be true: a sample outside is refused, whatever way it comes."""

    max_age: str = "3650d"
    max_ahead: str = "5m"

    def __post_init__(self) -> None:
        for key, least, most in (("max_age", "1d", "36500d"), ("max_ahead", "1s", "1d")):
            try:
                fits = parse_period(least) <= parse_period(getattr(self, key)) <= parse_period(most)
            except (ValueError, OverflowError):
                fits = False
            if not fits:
                raise ValueError(f"{key} is {getattr(self, key)!r}, expected {least} to {most}")

    @property
    def limits(self) -> TimeLimits:
        """These settings as periods."""
        return TimeLimits(parse_period(self.max_age), parse_period(self.max_ahead))


class DevicePatterns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Globs of devices that count besides those of the stock table, and of those that do not.

    `exclude` goes before `include`.
    """

    include: list[str] = []
    exclude: list[str] = []

    def __post_init__(self) -> None:
        for key in ("include", "exclude"):
            for pattern in getattr(self, key):
                if not pattern.strip():
                    raise ValueError(f"{key} has {pattern!r}, expected a pattern such as 'wg*'")


class DeviceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which volumes (by mount point, device or type) and links (by name) count, for all sources."""

    volumes: DevicePatterns = DevicePatterns()
    links: DevicePatterns = DevicePatterns()


class DeletionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What happens to samples of a server that was deleted and sends again.

    It is accepted, and the log and its page say so; or it is refused, except those readmitted.
    """

    returning: str = "accept"
    readmitted: list[str] = []

    def __post_init__(self) -> None:
        if self.returning not in ("accept", "refuse"):
            raise ValueError(f"returning is {self.returning!r}, expected 'accept' or 'refuse'")
