"""What a server is for: the 7 profiles, the host names that give them away, their own levels."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from storage.model.metrics import METRICS, Levels

__all__ = ["PROFILES", "PROFILE_NAMES", "Profile", "levels_for", "profile_of"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A kind of server: `patterns` are globs over its name, `levels` replace the metric's own."""

    name: str
    patterns: tuple[str, ...]
    special: str
    levels: Mapping[str, Levels] = field(default_factory=dict)


PROFILES: tuple[Profile, ...] = (
    Profile(
        "ml_compute",
        ("ppml*", "ppgpu*", "cptrain*", "ml-node-*", "gpu-*"),
        "I/O wait is normally under 2 %; out of memory near 98 %",
    ),
    Profile(
        "database",
        ("ppdb*", "psdb*", "oracle*", "mongo*", "postgres*", "mysql*"),
        "memory of 98 % is page cache; I/O wait of 15 % is normal",
        {"cpu_iowait_pct": Levels(20, 40), "mem_used_pct": Levels(98, 99.5)},
    ),
    Profile(
        "web_api",
        ("ppweb*", "ppapi*", "nginx*", "tomcat*", "api-*", "web-*"),
        "memory is critical at 85 %; traffic follows the working day",
        {"mem_used_pct": Levels(75, 85)},
    ),
    Profile(
        "conductor_mgmt",
        ("ppcon*", "conductor*", "egomgmt*", "maestro*", "k8s-master*"),
        "scheduler; light and steady",
    ),
    Profile(
        "data_ingest",
        ("ppetl*", "ppdi*", "ppkafka*", "stream*", "spark*", "flink*", "kafka*"),
        "heavy network",
    ),
    Profile(
        "risk_analytics",
        ("pprisk*", "ppra*", "varrisk*", "credit*", "quant*"),
        "end-of-day peak from 16 to 19 h",
    ),
    Profile("generic", (), "everything else"),
)

PROFILE_NAMES: tuple[str, ...] = tuple(p.name for p in PROFILES)

_BY_NAME = {p.name: p for p in PROFILES}


def profile_of(server: str, stated: str | None = None) -> str:
    """A server's profile: by its name's pattern, else as `stated` by its record, else generic."""
    for profile in PROFILES:
        if any(fnmatchcase(server.lower(), pattern) for pattern in profile.patterns):
            return profile.name
    return stated if stated in _BY_NAME else "generic"


def levels_for(profile: str, cores: int | None = None) -> dict[str, Levels]:
    """Warn and critical level of each metric that has them, for a server of `profile`.

    Load is judged per core (1.0 and 2.0) when `cores` is known.
    """
    levels = {m.name: m.levels for m in METRICS if m.levels is not None}
    if cores:
        levels["load_average"] = Levels(1.0 * cores, 2.0 * cores)
    if profile in _BY_NAME:
        levels.update(_BY_NAME[profile].levels)
    return levels
