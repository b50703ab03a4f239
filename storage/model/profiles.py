"""The 7 profiles of servers: stock patterns of host names, and their own warn levels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from storage.model.metrics import METRICS, Levels

__all__ = [
    "GENERIC", "PROFILES", "PROFILE_NAMES", "STOCK_PATTERNS", "Patterns", "Profile", "levels_for",
    "profile_of", "stated_profile",
]  # fmt: skip

# Profile: globs over the names of servers, in small letters.
Patterns = Mapping[str, Sequence[str]]
GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of server: its stock patterns (globs), and levels that replace those of metrics."""

    name: str
    patterns: tuple[str, ...]
    levels: Mapping[str, Levels] = field(default_factory=dict)


PROFILES: tuple[Profile, ...] = (
    Profile(
        "ml_compute",
        ("ppml*", "ppgpu*", "cptrain*", "ml-node-*", "gpu-*"),
    ),
    Profile(
        "database",
        ("ppdb*", "psdb*", "oracle*", "mongo*", "postgres*", "mysql*"),
        {"cpu_iowait_pct": Levels(20, 40), "mem_used_pct": Levels(98, 99.5)},
    ),
    Profile(
        "web_api",
        ("ppweb*", "ppapi*", "nginx*", "tomcat*", "api-*", "web-*"),
        {"mem_used_pct": Levels(75, 85)},
    ),
    Profile(
        "conductor_mgmt",
        ("ppcon*", "conductor*", "egomgmt*", "maestro*", "k8s-master*"),
    ),
    Profile(
        "data_ingest",
        ("ppetl*", "ppdi*", "ppkafka*", "stream*", "spark*", "flink*", "kafka*"),
    ),
    Profile(
        "risk_analytics",
        ("pprisk*", "ppra*", "varrisk*", "credit*", "quant*"),
    ),
    Profile(GENERIC, ()),
)

PROFILE_NAMES: tuple[str, ...] = tuple(p.name for p in PROFILES)
STOCK_PATTERNS: Patterns = {p.name: p.patterns for p in PROFILES if p.patterns}

_BY_NAME = {p.name: p for p in PROFILES}


def stated_profile(stated: str | None) -> str | None:
    """The profile that a record states; None if it is not one of the 7."""
    return stated if stated in _BY_NAME else None


def profile_of(server: str, stated: str | None = None, patterns: Patterns = STOCK_PATTERNS) -> str:
    """A server's profile: as `stated` by its record, else by a pattern of its name, else generic.

    Of several profiles whose patterns match, the first in `patterns` is taken.
    """
    if stated in _BY_NAME:
        return stated
    name = server.lower()
    for profile, globs in patterns.items():
        if any(fnmatchcase(name, glob) for glob in globs):
            return profile
    return GENERIC


def levels_for(profile: str, cores: int | None = None) -> dict[str, Levels]:
    """Warn and critical level of each metric that has them, for a server of `profile`.

    The levels of load are 1.0 and 2.0 per core if `cores` is known.
    """
    levels = {m.name: m.levels for m in METRICS if m.levels is not None}
    if cores:
        levels["load_average"] = Levels(1.0 * cores, 2.0 * cores)
    if profile in _BY_NAME:
        levels.update(_BY_NAME[profile].levels)
    return levels
