"""Precision of stored values: digits that no source can measure are rounded off to save space."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from storage.model.grid import QUANTILE_COLUMNS
from storage.model.metrics import FORECAST_PRECISION, Metric, Precision

__all__ = ["rounded", "stored"]

# A mean of many samples is more precise than one of them.
MEAN_FACTOR = 8
FLOAT32_BITS = 24  # significant ones

Floats = npt.NDArray[np.float32]


def rounded(rows: pa.Table, table_name: str, metrics: Iterable[Metric]) -> pa.Table:
    """Round the values of metrics, metrics_5m and forecasts; other tables are unchanged."""
    for name, precision in _columns(table_name, metrics):
        place = rows.column_names.index(name)
        lists = _lists(rows[name], precision) if table_name == "forecasts" else None
        rows = rows.set_column(
            place, rows.schema.field(place), lists or stored(rows[name], precision)
        )
    return rows


def stored(values: pa.ChunkedArray, precision: Precision) -> pa.ChunkedArray:
    """Float32 values rounded to the nearest storable value; NULL stays NULL."""
    if values.null_count == len(values):
        return values
    floats = values.to_numpy(zero_copy_only=False)  # NULL as NaN
    with np.errstate(over="ignore"):
        nearest = (
            _on_steps(floats, precision.step)
            if precision.step is not None
            else _with_bits(floats, precision.bits or FLOAT32_BITS)
        )
    # The largest finite numbers would be rounded to infinity.
    finite = np.where(np.isfinite(nearest), nearest, floats)
    return pa.chunked_array([pa.array(finite, pa.float32(), from_pandas=True)])


def _lists(values: pa.ChunkedArray, precision: Precision) -> pa.Array:
    """`stored` for lists of float32."""
    lists = values.combine_chunks()
    ends = np.cumsum(pc.fill_null(pc.list_value_length(lists), 0), dtype=np.int32)
    flat = stored(pa.chunked_array([lists.flatten()]), precision).combine_chunks()
    offsets = pa.array(np.append(np.int32(0), ends))
    return pa.ListArray.from_arrays(offsets, flat, mask=lists.is_null())


def _on_steps(values: Floats, step: float) -> Floats:
    nearest: Floats = np.rint(values * np.float32(1 / step)) * np.float32(step)
    return nearest


def _with_bits(values: Floats, bits: int) -> Floats:
    dropped = FLOAT32_BITS - bits
    half, mask = np.uint32((1 << dropped) >> 1), np.uint32((1 << 32) - (1 << dropped))
    return ((values.view(np.uint32) + half) & mask).view(np.float32)


def _columns(table_name: str, metrics: Iterable[Metric]) -> Iterator[tuple[str, Precision]]:
    if table_name == "forecasts":
        yield from ((name, FORECAST_PRECISION) for name in QUANTILE_COLUMNS)
        return
    for metric in metrics:
        if metric.precision is None:
            continue
        if table_name == "metrics":
            yield metric.name, metric.precision
        elif table_name == "metrics_5m":
            yield f"{metric.name}_mean", _of_means(metric.precision)
            yield f"{metric.name}_max", metric.precision


def _of_means(precision: Precision) -> Precision:
    return precision if precision.step is None else Precision(step=precision.step / MEAN_FACTOR)
