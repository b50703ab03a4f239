"""How finely values are stored: what no source can measure is not worth its bytes."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from storage.metrics import Metric, Precision

__all__ = ["rounded", "stored"]

# A mean of many samples is finer than one of them.
MEAN_IS_FINER = 8
FLOAT32_BITS = 24  # significant ones

Floats = npt.NDArray[np.float32]


def rounded(rows: pa.Table, table_name: str, metrics: Iterable[Metric]) -> pa.Table:
    """Rows of `metrics` or `metrics_5m` as they are stored; of another table, as they are."""
    for name, precision in _columns(table_name, metrics):
        place = rows.column_names.index(name)
        rows = rows.set_column(place, rows.schema.field(place), stored(rows[name], precision))
    return rows


def stored(values: pa.ChunkedArray, precision: Precision) -> pa.ChunkedArray:
    """Float32 values rounded to the nearest that is stored; NULL stays NULL."""
    if values.null_count == len(values):
        return values
    held = values.to_numpy(zero_copy_only=False)  # NULL as NaN
    with np.errstate(over="ignore"):
        nearest = (
            _on_steps(held, precision.step)
            if precision.step is not None
            else _with_bits(held, precision.bits or FLOAT32_BITS)
        )
    # The largest numbers there are would become infinite.
    found = np.where(np.isfinite(nearest), nearest, held)
    return pa.chunked_array([pa.array(found, pa.float32(), from_pandas=True)])


def _on_steps(values: Floats, step: float) -> Floats:
    nearest: Floats = np.rint(values * np.float32(1 / step)) * np.float32(step)
    return nearest


def _with_bits(values: Floats, bits: int) -> Floats:
    dropped = FLOAT32_BITS - bits
    half, mask = np.uint32((1 << dropped) >> 1), np.uint32((1 << 32) - (1 << dropped))
    return ((values.view(np.uint32) + half) & mask).view(np.float32)


def _columns(table_name: str, metrics: Iterable[Metric]) -> Iterator[tuple[str, Precision]]:
    for metric in metrics:
        if metric.precision is None:
            continue
        if table_name == "metrics":
            yield metric.name, metric.precision
        elif table_name == "metrics_5m":
            yield f"{metric.name}_mean", _of_means(metric.precision)
            yield f"{metric.name}_max", metric.precision


def _of_means(precision: Precision) -> Precision:
    return precision if precision.step is None else Precision(step=precision.step / MEAN_IS_FINER)
