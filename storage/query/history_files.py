"""Readings in people's own files, Parquet or CSV: what can be taken, and why the rest cannot."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from storage.errors import HoursightError
from storage.model.metrics import METRIC_NAMES, METRICS, Metric
from storage.model.names import EXPECTED, trimmed

__all__ = ["HistoryError", "Samples", "read_samples"]

_KEYS = ("ts", "server")
_WANTED = (*_KEYS, "profile", *METRIC_NAMES)
_MISSING = frozenset({"", "nan", "null", "none", "na", "n/a"})
_MILLISECONDS = 1e11  # a number above it counts milliseconds: in seconds it were the year 5138
_MOST_REASONS = 20

Floats = NDArray[np.float32]


class HistoryError(HoursightError, ValueError):
    """A history that cannot be read; the message names the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Samples:
    """R readings as they were sent; a missing value is NaN."""

    seconds: NDArray[np.int64]  # [R] since the epoch
    servers: NDArray[np.str_]  # [R]
    values: Floats  # [R, 14]
    profiles: tuple[tuple[str, ...], tuple[str, ...]]  # servers, and what was stated of them
    ignored: tuple[str, ...]
    refused: int
    reasons: tuple[str, ...]


@dataclass(slots=True)
class _FileRejects:
    """What could not be taken: how much of it, and in words."""

    count: int = 0
    reasons: list[str] = field(default_factory=list)

    def note(self, count: int, reason: str) -> None:
        self.count += count
        if len(self.reasons) < _MOST_REASONS:
            self.reasons.append(f"{reason} ({count} time{'s' if count > 1 else ''})")


def read_samples(paths: Iterable[Path]) -> Samples:
    """All readings of the files; HistoryError when a file is none, or nothing is left.

    `ts` is ISO 8601 or a number of seconds or milliseconds; a time without a zone counts as UTC.
    A row without time or server is refused, of other rows the values that cannot be true.
    """
    refusals = _FileRejects()
    ignored: dict[str, None] = {}
    parts = []
    for path in paths:
        table = _table(path, refusals)
        ignored |= dict.fromkeys(name for name in table.column_names if name not in _WANTED)
        parts.append(_part(path, table, refusals))
    columns = zip(*parts, strict=True)
    seconds, servers, values, stated = (np.concatenate(column) for column in columns)
    if not len(seconds):
        raise HistoryError("no row is left: " + ("; ".join(refusals.reasons) or "there is none"))
    told = stated != ""
    return Samples(
        seconds, servers, values, (tuple(servers[told]), tuple(stated[told])),
        tuple(ignored), refusals.count, tuple(refusals.reasons),
    )  # fmt: skip


def _table(path: Path, refusals: _FileRejects) -> pa.Table:
    table = _parquet(path) if _is_parquet(path) else _csv(path, refusals)
    names = table.column_names
    if len(set(names)) < len(names):
        raise HistoryError(f"{path}: a column comes twice; this file has {', '.join(names)}")
    if not set(_KEYS) <= set(names) or not set(METRIC_NAMES) & set(names):
        raise HistoryError(
            f"{path}: a history needs the columns ts, server and at least one metric "
            f"({METRIC_NAMES[0]}, …); this file has {', '.join(names)}"
        )
    return table


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return path.suffix == ".parquet" or file.read(4) == b"PAR1"
    except OSError as error:
        raise HistoryError(f"{path}: cannot be read ({error.strerror})") from error


def _parquet(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise HistoryError(f"{path}: not a readable Parquet file ({error})") from error


def _csv(path: Path, refusals: _FileRejects) -> pa.Table:
    odd: list[pv.InvalidRow] = []

    def skip(row: pv.InvalidRow) -> str:
        odd.append(row)
        return "skip"

    texts = pv.ConvertOptions(column_types=dict.fromkeys(_WANTED, pa.string()))
    parsing = pv.ParseOptions(invalid_row_handler=skip)
    try:
        table = pv.read_csv(path, convert_options=texts, parse_options=parsing)
    except (OSError, pa.ArrowException) as error:
        raise HistoryError(f"{path}: neither Parquet nor readable as CSV ({error})") from error
    if odd:
        first = odd[0]
        refusals.note(
            len(odd),
            f"{path.name}: {first.actual_columns} columns instead of {first.expected_columns}: "
            f"{first.text!r}",
        )
    return table


def _part(
    path: Path, table: pa.Table, refusals: _FileRejects
) -> tuple[NDArray[np.int64], NDArray[np.str_], Floats, NDArray[np.str_]]:
    """Seconds, servers, values [R, 14] and stated profiles of the rows that can be taken."""
    seconds = _seconds(path, table["ts"], refusals)
    servers = _servers(path, table["server"], refusals)
    kept = (servers != "") & ~np.isnan(seconds)
    values = np.full((table.num_rows, len(METRICS)), np.nan, np.float32)
    for place, metric in enumerate(METRICS):
        if metric.name in table.column_names:
            found = _numbers(path, table[metric.name], metric.name, refusals)
            values[:, place] = _possible(path, found, metric, refusals)
    stated = _texts(table["profile"]) if "profile" in table.column_names else np.full(len(kept), "")
    return seconds[kept].astype(np.int64), servers[kept], values[kept], stated[kept]


def _servers(path: Path, column: pa.ChunkedArray, refusals: _FileRejects) -> NDArray[np.str_]:
    """The names of the servers, trimmed; '' where there is none, or no valid one."""
    coded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    known = [*coded.dictionary.to_pylist(), ""]
    places = coded.indices.fill_null(len(known) - 1).to_numpy(zero_copy_only=False)
    servers: NDArray[np.str_] = np.array([trimmed(name) or "" for name in known])[places]
    blank = np.array([not name.strip() for name in known])[places]
    if blank.any():
        refusals.note(int(blank.sum()), f"{path.name}: server is missing")
    invalid = (servers == "") & ~blank
    _tell_odd(path, "server", column, invalid, f"is not a valid name; {EXPECTED}", refusals)
    return servers


def _texts(column: pa.ChunkedArray) -> NDArray[np.str_]:
    """The column as text, stripped; nothing is ''."""
    texts = column.cast(pa.string()).fill_null("").to_numpy()
    return np.char.strip(texts.astype(str)) if len(texts) else np.zeros(0, np.str_)


def _seconds(path: Path, column: pa.ChunkedArray, refusals: _FileRejects) -> NDArray[np.float64]:
    """Whole seconds since the epoch; NaN where the time is refused."""
    found: NDArray[np.float64]
    if pa.types.is_timestamp(column.type):
        unit_us = column.cast(pa.timestamp("us", column.type.tz), safe=False).cast(pa.int64())
        found = np.floor(np.asarray(unit_us.cast(pa.float64(), safe=False).to_numpy()) / 1e6)
    elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        found = _epoch(column.cast(pa.float64(), safe=False).to_numpy())
    else:
        found = _each(column.cast(pa.string()), _moment)
    _tell_odd(path, "ts", column, np.isnan(found), "is no time; ISO 8601 is, with a zone", refusals)
    return found


def _epoch(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    finite = np.where(np.isfinite(numbers), numbers, np.nan)
    return np.asarray(np.floor(np.where(finite > _MILLISECONDS, finite / 1000, finite)))


def _moment(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return float(_epoch(np.array([_number(text)]))[0])
    return math.floor((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def _numbers(
    path: Path, column: pa.ChunkedArray, name: str, refusals: _FileRejects
) -> NDArray[np.float64]:
    """The column as numbers; NaN where there is none, or a word."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        try:
            return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
        except pa.ArrowException as error:
            raise HistoryError(
                f"{path}: column {name!r} holds {column.type}; numbers are needed"
            ) from error
    found = _each(column, _number)
    missing = np.isin(np.char.lower(_texts(column)), list(_MISSING))
    _tell_odd(path, name, column, np.isnan(found) & ~missing, "is no number", refusals)
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _each(column: pa.ChunkedArray, meaning: Any) -> NDArray[np.float64]:
    """`meaning` of every text, asked once for each that differs; NaN for nothing."""
    coded = column.combine_chunks().dictionary_encode()
    meanings = np.array([*map(meaning, coded.dictionary.to_pylist()), math.nan])
    places = coded.indices.fill_null(len(meanings) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(meanings[places], np.float64)


def _possible(
    path: Path, values: NDArray[np.float64], metric: Metric, refusals: _FileRejects
) -> NDArray[np.float64]:
    highest = math.inf if metric.highest is None else metric.highest
    wrong = (values < metric.lowest) | (values > highest) | np.isinf(values)
    if wrong.any():
        why = metric.refusal(float(values[wrong][0]))
        refusals.note(int(wrong.sum()), f"{path.name}: {why}")
    return np.where(wrong, np.nan, values)


def _tell_odd(
    path: Path,
    name: str,
    column: pa.ChunkedArray,
    odd: NDArray[np.bool_],
    what: str,
    refusals: _FileRejects,
) -> None:
    if odd.any():
        example = column[int(odd.argmax())].as_py()
        refusals.note(int(odd.sum()), f"{path.name}: {name}: {example!r} {what}")
