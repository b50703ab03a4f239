"""Incidents of the simulated fleet, each with precursors, drawn per server and scenario round."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from functions.simulator.incident_kinds import KIND_NAMES, KINDS, MINUTES, RUSHED, USUAL, Share
from functions.simulator.rng import Floats, Ints, Keys, keyed, keys_of, uniform
from functions.simulator.simulated_fleet import (
    FleetColumns,
    SimulatedServer,
    database_of,
    fleet_columns,
)
from storage.model.profiles import PROFILE_NAMES
from storage.model.schema import table

__all__ = ["SCENARIOS", "Episodes", "Incident", "episodes", "incidents", "truth_rows"]

SCENARIOS: tuple[str, ...] = ("healthy", "mixed", "degrading", "critical", "cascade")

_FADE = 15 * 60  # seconds in which incidents recover that a scenario switch cuts short
_REACH = 9000  # seconds by which a recovery or a cascade victim can outlast its round or scenario
_ALWAYS, _NEVER = -(1 << 62), 1 << 62
_MONDAY = 4 * 86400  # 5 January 1970
_DAY_ENDS = 15 * 3600 + 900  # earliest start of the end-of-day overload; the latest is 45 min later
_GOLDEN_RATIO = 0.6180339887
_RANK, _KIND, _RAMP, _PLATEAU, _RECOVERY, _START, _HOUR, _DEPTH = range(8)
_FAILURE = KIND_NAMES.index("database_failure")
_VICTIM = KIND_NAMES.index("cascade_victim")
_OVERLOAD = KIND_NAMES.index("end_of_day_overload")
_DATABASE = PROFILE_NAMES.index("database")


@dataclass(frozen=True, slots=True)
class Incident:
    """One injected incident, as a row of the truth table; times in UTC, `metrics` worst first.

    `caused_by` is the incident_id of the database failure behind a cascade's victim.
    """

    incident_id: str
    server: str
    kind: str
    scenario: str
    starts_at: datetime
    peaks_at: datetime
    ends_at: datetime
    metrics: tuple[str, ...]
    caused_by: str | None


@dataclass(frozen=True, slots=True)
class Episodes:
    """Incidents (depth >= 1) and mild episodes below critical (depth < 1) as columns [episodes].

    `servers` are rows of the fleet, `kinds` index KINDS and `scenarios` SCENARIOS. An episode
    grows from `starts` to `peaks` and recovers from `eases` to `ends`, in epoch seconds.
    `causes` is the start of the failure behind a cascade victim, else -1.
    """

    servers: Ints
    kinds: Ints
    scenarios: Ints
    starts: Ints
    peaks: Ints
    eases: Ints
    ends: Ints
    depths: Floats
    causes: Ints

    def where(self, selection: NDArray[np.bool_] | Ints) -> "Episodes":
        """Return the episodes that a mask or row numbers select."""
        return Episodes(*(getattr(self, name)[selection] for name in Episodes.__slots__))

    def __len__(self) -> int:
        return len(self.servers)


@dataclass(frozen=True, slots=True)
class _ScenarioPlan:
    """How a scenario distributes incidents, round after round.

    `dealt` is `apart` (each server has rounds of its own), `evenly` (a `share` of the servers,
    spread over the racks) or `in_turn` (the databases take turns). `starts`, `grows` and `lasts`
    are ranges in minutes; None takes those of the kind. `passing` is the share of the servers that
    have a mild episode instead.
    """

    dealt: Literal["apart", "evenly", "in_turn"]
    round_minutes: int
    share: float
    weights: Share
    starts: tuple[float, float] | None = None
    grows: tuple[float, float] | None = None
    lasts: tuple[float, float] | None = None
    passing: float = 0.0


@dataclass(frozen=True, slots=True)
class _Period:
    scenario: str
    since: int
    until: int


_PLANS = {
    "mixed": _ScenarioPlan("apart", 36 * 60, 0.5, USUAL, passing=0.2),
    "degrading": _ScenarioPlan(
        "evenly", 180, 0.25, RUSHED["degrading"], (1, 25), (20, 120), (60, 115)
    ),
    "critical": _ScenarioPlan("evenly", 180, 0.5, RUSHED["critical"], (0, 4), (4, 12), (168, 180)),
    "cascade": _ScenarioPlan("in_turn", 90, 0.5, RUSHED["cascade"], (1, 3), (6, 14), (30, 45)),
}


def incidents(
    fleet: Sequence[SimulatedServer],
    timeline: Sequence[tuple[datetime, str]],
    start: datetime,
    stop: datetime,
    seed: int,
) -> list[Incident]:
    """Return all incidents that overlap [start, stop), by start; any window gives the same ones.

    `timeline` is when each scenario was switched on; before its first entry the scenario is
    `mixed`. A switch cuts running incidents short, and so moves their ends_at. Raises ValueError
    for an unknown scenario, a time without a zone, or a timeline out of order.
    """
    drawn = episodes(fleet, timeline, (_epoch(start), _epoch(stop)), seed)
    drawn = drawn.where(drawn.depths >= 1)
    drawn = drawn.where(np.lexsort((drawn.servers, drawn.starts)))
    return [_incident(fleet, drawn, row) for row in range(len(drawn))]


def episodes(
    fleet: Sequence[SimulatedServer],
    timeline: Sequence[tuple[datetime, str]],
    window: tuple[int, int],
    seed: int,
) -> Episodes:
    """Return the episodes that overlap `window`, [start, stop) in epoch seconds, mild ones too."""
    periods = [
        period
        for period in _periods(timeline)
        if period.since < window[1] and period.until + _REACH > window[0]
    ]
    own = fleet_columns(fleet, seed)
    webs, databases = _dependants(fleet)
    causes = fleet_columns(databases, seed)
    parts = []
    for period in periods:
        plan = _PLANS.get(period.scenario)
        if plan is not None:
            parts.append(_drawn(own, plan, period, window, seed))
            failures = _drawn(causes, plan, period, window, seed)
            parts.append(_cut(_victims(failures, own.keys, webs), period))
    joined = _joined(parts)
    return joined.where((joined.starts < window[1]) & (joined.ends > window[0]))


def truth_rows(incidents: Sequence[Incident]) -> pa.Table:
    """Return the incidents as rows of the `truth` table, which no model and no rule may read."""
    rows = [
        {name: getattr(incident, name) for name in Incident.__slots__} for incident in incidents
    ]
    return pa.Table.from_pylist(rows, schema=table("truth").arrow)


def _periods(timeline: Sequence[tuple[datetime, str]]) -> list[_Period]:
    switches = [(_ALWAYS, "mixed")]
    for since, scenario in timeline:
        if scenario not in SCENARIOS:
            raise ValueError(
                f"{scenario!r} is not a valid scenario (expected {', '.join(SCENARIOS)})"
            )
        if _epoch(since) < switches[-1][0]:
            raise ValueError(f"timeline goes back to {since}: sort its switches by time")
        if scenario != switches[-1][1]:
            switches.append((_epoch(since), scenario))
    ends = [since for since, _ in switches[1:]] + [_NEVER]
    return [
        _Period(scenario, since, until)
        for (since, scenario), until in zip(switches, ends, strict=True)
    ]


def _drawn(
    servers: FleetColumns, plan: _ScenarioPlan, period: _Period, window: tuple[int, int], seed: int
) -> Episodes:
    """The episodes of the rounds that touch `window`, cut to `period`."""
    length = plan.round_minutes * 60
    if plan.dealt == "apart":
        chains = keyed(servers.keys, SCENARIOS.index(period.scenario))
        origins = (uniform(chains) * length).astype(np.int64)
    else:
        chains = keyed(servers.keys, SCENARIOS.index(period.scenario), period.since)
        origins = np.full(len(chains), period.since, dtype=np.int64)
    rounds = _rounds(origins, length, period, window)
    ranks = _ranks(servers, chains, plan, rounds, period, seed)
    rows, columns = np.nonzero(ranks < plan.share + plan.passing)
    placed = _placed(
        rows,
        servers.profiles[rows],
        keyed(chains[rows], rounds[rows, columns]),
        origins[rows] + rounds[rows, columns] * length,
        ranks[rows, columns] >= plan.share,
        plan,
        SCENARIOS.index(period.scenario),
    )
    return _cut(placed, period)


def _rounds(origins: Ints, length: int, period: _Period, window: tuple[int, int]) -> Ints:
    """Numbers of the rounds that touch the window, [servers, rounds]."""
    first = (max(window[0], period.since) - _REACH - origins) // length
    last = (min(window[1], period.until) - origins) // length
    count = int((last - first).max(initial=-1)) + 1
    return first[:, None] + np.arange(count, dtype=np.int64)


def _ranks(
    servers: FleetColumns,
    chains: Keys,
    plan: _ScenarioPlan,
    rounds: Ints,
    period: _Period,
    seed: int,
) -> Share:
    """Each server's rank in each round in [0, 1), [servers, rounds]: below the share it is hit."""
    if plan.dealt == "apart":
        return uniform(chains[:, None], rounds, _RANK)
    if plan.dealt == "in_turn":
        turns = (servers.numbers[:, None] - 1 + rounds) % 2 / 2
        return np.where((servers.profiles == _DATABASE)[:, None], turns, 1.0)
    lots = uniform(keys_of((period.scenario,), seed)[:, None], period.since, rounds)
    # Multiples of the golden ratio spread evenly: each part of a rack gets its share.
    return (servers.places[:, None] * _GOLDEN_RATIO + lots) % 1.0


def _placed(
    servers: Ints,
    profiles: Ints,
    keys: Keys,
    opens: Ints,
    passing: NDArray[np.bool_],
    plan: _ScenarioPlan,
    scenario: int,
) -> Episodes:
    """One episode for each key, within the round that begins at `opens`."""
    kinds = (uniform(keys, _KIND)[:, None] >= plan.weights[profiles]).sum(axis=1)
    ramps = _minutes(keys, _RAMP, plan.grows, MINUTES[kinds, 0])
    plateaus = _minutes(keys, _PLATEAU, plan.lasts, MINUTES[kinds, 1])
    recoveries = _minutes(keys, _RECOVERY, None, MINUTES[kinds, 2])
    if plan.starts is None:
        spare = plan.round_minutes * 60 - ramps - plateaus - recoveries
        starts = opens + (uniform(keys, _START) * spare).astype(np.int64)
        starts = np.where(kinds == _OVERLOAD, _late_in_the_day(keys, opens), starts)
    else:
        starts = opens + _minutes(keys, _START, plan.starts, MINUTES[kinds, 0])
    draws = uniform(keys, _DEPTH)
    depths = np.where(passing, 0.3 + 0.3 * draws, 1.02 + 0.13 * draws)
    return Episodes(
        servers, kinds, np.full_like(kinds, scenario), starts, starts + ramps,
        starts + ramps + plateaus, starts + ramps + plateaus + recoveries,
        depths.astype(np.float32), np.full_like(kinds, -1),
    )  # fmt: skip


def _minutes(keys: Keys, purpose: int, span: tuple[float, float] | None, usual: Share) -> Ints:
    """Seconds drawn from `span`, or from the span in each row of `usual`; both are in minutes."""
    least, most = span if span is not None else (usual[:, 0], usual[:, 1])
    return (60 * (least + (most - least) * uniform(keys, purpose))).astype(np.int64)


def _late_in_the_day(keys: Keys, opens: Ints) -> Ints:
    """Start times in the first afternoon after each round opens, each at its own minute."""
    time_of_day = _DAY_ENDS + (uniform(keys, _HOUR) * 2700).astype(np.int64)
    return opens + (time_of_day - opens) % 86400


def _cut(drawn: Episodes, period: _Period) -> Episodes:
    """The episodes that start in `period`; its end cuts short those that do not yet recover."""
    weekend = (drawn.starts - _MONDAY) // 86400 % 7 >= 5
    begun = (drawn.starts >= period.since) & (drawn.starts < period.until)
    drawn = drawn.where(begun & ~((drawn.kinds == _OVERLOAD) & weekend))
    cut = drawn.eases > period.until
    return Episodes(
        drawn.servers, drawn.kinds, drawn.scenarios, drawn.starts, drawn.peaks,
        np.where(cut, period.until, drawn.eases),
        np.where(cut, np.minimum(drawn.ends, period.until + _FADE), drawn.ends),
        drawn.depths, drawn.causes,
    )  # fmt: skip


def _dependants(fleet: Sequence[SimulatedServer]) -> tuple[Ints, list[SimulatedServer]]:
    """Rows of the web servers, and the database of each."""
    pairs = [(row, database_of(server)) for row, server in enumerate(fleet)]
    known = [(row, database) for row, database in pairs if database is not None]
    return np.array([row for row, _ in known], dtype=np.int64), [base for _, base in known]


def _victims(failures: Episodes, keys: Keys, webs: Ints) -> Episodes:
    """The episodes of the web servers whose databases fail, minutes later."""
    failures = failures.where((failures.kinds == _FAILURE) & (failures.depths >= 1))
    servers = webs[failures.servers]
    chains = keyed(keys[servers], failures.starts)
    usual = np.broadcast_to(MINUTES[_VICTIM], (len(servers), 3, 2))
    starts = failures.starts + (failures.peaks - failures.starts) // 2
    starts = starts + _minutes(chains, _START, (2, 6), usual[:, 0])
    eases = failures.eases + _minutes(chains, _PLATEAU, (1, 4), usual[:, 1])
    return Episodes(
        servers, np.full_like(servers, _VICTIM), failures.scenarios, starts,
        starts + _minutes(chains, _RAMP, None, usual[:, 0]), eases,
        eases + _minutes(chains, _RECOVERY, None, usual[:, 2]),
        failures.depths, failures.starts,
    )  # fmt: skip


def _joined(parts: Sequence[Episodes]) -> Episodes:
    """All parts as one; no episodes for no parts."""
    kinds = dict.fromkeys(Episodes.__slots__, np.int64) | {"depths": np.float32}
    return Episodes(
        *(
            np.concatenate([np.empty(0, dtype), *(getattr(part, name) for part in parts)])
            for name, dtype in kinds.items()
        )
    )


def _incident(fleet: Sequence[SimulatedServer], drawn: Episodes, row: int) -> Incident:
    server, kind = fleet[drawn.servers[row]], KINDS[drawn.kinds[row]]
    database, cause = database_of(server), int(drawn.causes[row])
    return Incident(
        incident_id=_incident_id(server, kind.name, int(drawn.starts[row])),
        server=server.name,
        kind=kind.name,
        scenario=SCENARIOS[drawn.scenarios[row]],
        starts_at=_utc(int(drawn.starts[row])),
        peaks_at=_utc(int(min(drawn.peaks[row], drawn.eases[row]))),
        ends_at=_utc(int(drawn.ends[row])),
        metrics=kind.metrics,
        caused_by=_incident_id(database, "database_failure", cause)
        if database is not None and kind.name == "cascade_victim"
        else None,
    )


def _incident_id(server: SimulatedServer, kind: str, starts: int) -> str:
    return f"{server.name}:{kind}:{_utc(starts):%Y%m%dT%H%M%S}"


def _utc(epoch: int) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)


def _epoch(ts: datetime) -> int:
    if ts.tzinfo is None:
        raise ValueError(f"{ts} has no zone: pass a time in UTC, such as datetime.now(UTC)")
    return int(ts.timestamp())
