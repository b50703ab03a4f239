"""States of calibration and race as rows of their tables, and back."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from functions.rules.serving.calibration import SHAPE, CalibrationState
from functions.rules.serving.race import RaceState
from storage.model.grid import BAND_LEVELS, BUCKET_MINUTES, QUANTILES
from storage.model.metrics import METRIC_NAMES
from storage.model.schema import table
from storage.model.served import CANDIDATES
from storage.query.forecast_rows import list_matrix

__all__ = [
    "IDLE_HOURS",
    "NamedCalibration",
    "NamedRace",
    "as_lists",
    "calibration_rows",
    "calibration_state",
    "places",
    "race_rows",
    "race_state",
]  # fmt: skip

IDLE_HOURS = 7 * 24  # a server without targets for so long has no state any more
FLEET = "fleet"

_BUCKETS = pa.array(BUCKET_MINUTES, pa.int16())
_METRICS = pa.array(METRIC_NAMES)
_LEVELS = tuple(f"log_factor_{level}" for level in BAND_LEVELS)
_LISTS = {"loss": "recent_loss", "difference": "recent_difference", "noise": "recent_noise",
          "hours": "evidence_hours"}  # fmt: skip
_RACED = len(METRIC_NAMES), len(BUCKET_MINUTES)

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class NamedCalibration:
    """A calibration state with the names of its profiles and servers.

    `profile_idle` and `server_idle` are hours since the last target of each.
    """

    profiles: tuple[str, ...]
    servers: tuple[str, ...]
    state: CalibrationState
    profile_idle: Ints
    server_idle: Ints

    @classmethod
    def new(cls) -> "NamedCalibration":
        """Return the state of a model without scores."""
        nobody = np.zeros(0, np.int64)
        return cls((), (), CalibrationState.new(0, 0), nobody, nobody)

    def of(self, profiles: Sequence[str], servers: Sequence[str]) -> "NamedCalibration":
        """Return the state of these profiles and servers: 0 for those that it does not have."""
        at_profile, at_server = places(self.profiles, profiles), places(self.servers, servers)
        state = replace(
            self.state,
            profiles=_taken(self.state.profiles, at_profile, 0),
            servers=_taken(self.state.servers, at_server, 0),
        )
        return NamedCalibration(
            tuple(profiles), tuple(servers), state,
            _taken(self.profile_idle, at_profile, 0), _taken(self.server_idle, at_server, 0),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class NamedRace:
    """A race's state of n servers, the shares that it gives, bands, and why none is served."""

    servers: tuple[str, ...]
    state: RaceState
    shares: Floats  # [n, 14, 3, 4]
    seasonal_band: Floats  # [n, 14, 7]
    last_band: Floats  # [n, 14, 3, 7]
    skill: Floats  # [n, 14]
    abstains: npt.NDArray[np.object_]  # [n, 14] in words, or None
    idle: Ints  # [n] hours since the last target

    @classmethod
    def new(cls, servers: Sequence[str]) -> "NamedRace":
        """Return the state without evidence: the model alone."""
        count = len(servers)
        alone = np.zeros((count, *_RACED, len(CANDIDATES)), np.float32)
        alone[..., 0] = 1
        bands = np.full((count, *_RACED, len(QUANTILES)), np.nan, np.float32)
        return cls(
            tuple(servers), RaceState.new(count, len(METRIC_NAMES)), alone,
            bands[:, :, 0].copy(), bands,
            np.full((count, len(METRIC_NAMES)), np.nan),
            np.full((count, len(METRIC_NAMES)), None, object), np.zeros(count, np.int64),
        )  # fmt: skip

    def of(self, servers: Sequence[str]) -> "NamedRace":
        """Return the state of these servers: without evidence for those that it does not have."""
        at, new = places(self.servers, servers), NamedRace.new(servers)

        def merged(own: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[Any]:
            result = other.copy()
            result[at >= 0] = own[at[at >= 0]]
            return result

        state = RaceState(
            *(merged(getattr(self.state, name), getattr(new.state, name)) for name in _LISTS)
        )
        rest = ("shares", "seasonal_band", "last_band", "skill", "abstains", "idle")
        return NamedRace(
            tuple(servers),
            state,
            *(merged(getattr(self, name), getattr(new, name)) for name in rest),
        )


def places(known: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.intp]:
    """Return the place of each of `names` in `known`; −1 where it is not there."""
    index = {name: i for i, name in enumerate(known)}
    return np.array([index.get(name, -1) for name in names], np.intp)


def _taken(values: npt.NDArray[Any], at: Ints, missing: float) -> npt.NDArray[Any]:
    padded = np.concatenate([values, np.full((1, *values.shape[1:]), missing, values.dtype)])
    return np.asarray(padded[at])


def calibration_rows(named: NamedCalibration, model: str, ts: datetime) -> pa.Table:
    """Return a state as rows of `calibration`; profiles and servers that are idle are left out."""
    state, nothing = named.state, np.zeros(1, np.int64)
    parts = [
        _scope_rows("profile", named.profiles, state.profiles, named.profile_idle),
        _scope_rows("server", named.servers, state.servers, named.server_idle),
    ]
    fleet = _scope_rows(FLEET, (FLEET,), state.fleet[None], nothing)
    since = state.since_preset.reshape(-1)
    fleet |= {
        "updates": pa.array(state.updates.reshape(-1)),
        "hours_since_preset": pa.array(since, mask=since < 0),
    }
    schema = table("calibration").arrow
    made = {"ts": pa.scalar(ts, schema.field("ts").type), "model": pa.scalar(model)}
    return pa.concat_tables([_table(schema, each, made) for each in (fleet, *parts)])


def _scope_rows(
    scope: str, names: Sequence[str], log_factors: Floats, idle: Ints
) -> dict[str, pa.Array]:
    kept = np.flatnonzero(idle < IDLE_HOURS)
    cells = SHAPE[0] * SHAPE[1]
    flat = log_factors[kept].reshape(-1, SHAPE[2]).astype(np.float32)
    columns = {
        "scope": pa.repeat(pa.scalar(scope), len(flat)),
        "name": pa.array(names, pa.string()).take(pa.array(np.repeat(kept, cells))),
        "metric": _METRICS.take(_cycle(len(kept), SHAPE[0], SHAPE[1])),
        "bucket": _BUCKETS.take(_cycle(len(kept) * SHAPE[0], SHAPE[1], 1)),
        "idle_hours": pa.array(np.repeat(idle[kept], cells)),
    }
    return columns | {name: pa.array(flat[:, i]) for i, name in enumerate(_LEVELS)}


def _cycle(times: int, count: int, each: int) -> pa.Array:
    """Return 0 … count − 1, each repeated `each` times, and all of it `times` times."""
    return pa.array(np.tile(np.repeat(np.arange(count), each), times))


def _table(
    schema: pa.Schema, columns: dict[str, pa.Array], constants: dict[str, pa.Scalar]
) -> pa.Table:
    """Return rows of `schema`: columns, constants, and NULL for the rest."""
    count = len(next(iter(columns.values())))

    def column(field: pa.Field) -> pa.Array:
        if field.name in columns:
            return columns[field.name].cast(field.type)
        if field.name in constants:
            return pa.repeat(constants[field.name], count).cast(field.type)
        return pa.nulls(count, field.type)

    return pa.table([column(field) for field in schema], schema=schema)


def calibration_state(rows: pa.Table) -> NamedCalibration:
    """Return the state that rows of `calibration`, all of one `ts` and model, describe."""
    fleet, profiles, servers = (
        rows.filter(pc.equal(rows["scope"], scope)) for scope in (FLEET, "profile", "server")
    )
    new = CalibrationState.new(0, 0)
    if not fleet.num_rows:
        return NamedCalibration.new()
    _, at = _scattered(fleet)
    updates, since = new.updates.copy(), new.since_preset.copy()
    updates[at[1:]] = fleet["updates"].to_numpy()
    since[at[1:]] = pc.fill_null(fleet["hours_since_preset"], -1).to_numpy()
    profile_names, of_profiles, profile_idle = _log_factors(profiles)
    server_names, of_servers, server_idle = _log_factors(servers)
    _, of_fleet, _ = _log_factors(fleet)
    state = CalibrationState(of_fleet[0], of_profiles, of_servers, updates, since)
    return NamedCalibration(profile_names, server_names, state, profile_idle, server_idle)


def _log_factors(rows: pa.Table) -> tuple[tuple[str, ...], Floats, Ints]:
    names, at = _scattered(rows)
    values = np.zeros((len(names), *SHAPE))
    values[at] = np.stack([rows[name].to_numpy() for name in _LEVELS], axis=-1)
    idle = np.zeros(len(names), np.int64)
    idle[at[0]] = pc.fill_null(rows["idle_hours"], 0).to_numpy()
    return names, np.nan_to_num(values), idle


def _scattered(rows: pa.Table) -> tuple[tuple[str, ...], tuple[Ints, Ints, Ints]]:
    """Return the names, and the places of each row by name, metric and bucket."""
    names, place = _encoded(rows["name"])
    return names, (place, _metric_places(rows), _bucket_places(rows))


def _metric_places(rows: pa.Table) -> Ints:
    return np.asarray(pc.index_in(rows["metric"], _METRICS).to_numpy(), np.intp)


def _encoded(column: pa.ChunkedArray) -> tuple[tuple[str, ...], Ints]:
    encoded = column.combine_chunks().dictionary_encode()
    return tuple(encoded.dictionary.to_pylist()), np.asarray(encoded.indices, np.intp)


def _bucket_places(rows: pa.Table) -> Ints:
    return np.asarray(pc.index_in(rows["bucket"].cast(pa.int16()), _BUCKETS).to_numpy(), np.intp)


def race_rows(named: NamedRace, model: str, ts: datetime) -> pa.Table:
    """Return a state as rows of `race`: those of the metrics with evidence or a band."""
    known = (named.state.hours > 0).any(axis=(2, 3)) | np.isfinite(named.last_band).any(axis=(2, 3))
    server, metric = np.nonzero(known & (named.idle < IDLE_HOURS)[:, None])
    cells = _RACED[1]
    rows, columns = np.repeat(server, cells), np.repeat(metric, cells)
    at = rows, columns, np.tile(np.arange(cells), len(server))
    result: dict[str, pa.Array] = {
        "server": pa.array(named.servers, pa.string()).take(pa.array(rows)),
        "metric": _METRICS.take(pa.array(columns)),
        "bucket": _BUCKETS.take(pa.array(at[2])),
        "seasonal_band": as_lists(named.seasonal_band[rows, columns]),
        "last_band": as_lists(named.last_band[at]),
        "skill": pa.array(named.skill[rows, columns].astype(np.float32), from_pandas=True),
        "abstains": pa.array(named.abstains[rows, columns].tolist(), pa.string()),
        "idle_hours": pa.array(named.idle[rows]),
    }
    for name, column in _LISTS.items():
        result[column] = as_lists(getattr(named.state, name)[at])
    shares = named.shares[at].astype(np.float32)
    result |= {f"weight_{name}": pa.array(shares[:, i]) for i, name in enumerate(CANDIDATES)}
    schema = table("race").arrow
    made = {"ts": pa.scalar(ts, schema.field("ts").type), "model": pa.scalar(model)}
    return _table(schema, result, made)


def as_lists(values: Floats) -> pa.Array:
    """Return [k, size] as one list a row; NULL where a value is missing."""
    flat = np.ascontiguousarray(values, np.float32)
    offsets = pa.array(np.arange(0, flat.size + 1, flat.shape[1]), pa.int32())
    absent = ~np.isfinite(flat).all(axis=1)
    return pa.ListArray.from_arrays(offsets, pa.array(flat.reshape(-1)), mask=pa.array(absent))


def race_state(rows: pa.Table) -> NamedRace:
    """Return the state that rows of `race` of one model describe, the newest of each server."""
    names, server = _encoded(rows["server"])
    at = server, _metric_places(rows), _bucket_places(rows)
    result = NamedRace.new(names)
    for name, column in _LISTS.items():
        getattr(result.state, name)[at] = np.nan_to_num(list_matrix(rows[column], len(CANDIDATES)))
    shares = [rows[f"weight_{name}"].to_numpy() for name in CANDIDATES]
    result.shares[at] = np.stack(shares, axis=-1)
    result.seasonal_band[at[:2]] = list_matrix(rows["seasonal_band"], len(QUANTILES))
    result.last_band[at] = list_matrix(rows["last_band"], len(QUANTILES))
    result.skill[at[:2]] = rows["skill"].to_numpy()
    result.abstains[at[:2]] = rows["abstains"].to_pylist()
    result.idle[server] = pc.fill_null(rows["idle_hours"], 0).to_numpy()
    return result
