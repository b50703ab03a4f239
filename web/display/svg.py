"""SVG path data of lines, which keep their gaps, and of bands."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Values", "band_path", "line_path", "rows_of"]

Values = NDArray[np.float32]


def rows_of(values: Values, low: float, high: float, height: int) -> list[int]:
    """Return the pixel row of each value, 0 at the top for `high`; -1 for NaN."""
    share = (np.clip(values, low, high) - low) / ((high - low) or 1)
    rows = np.round(height * (1 - share))
    return [int(row) for row in np.where(np.isnan(rows), -1, rows)]


def line_path(rows: Sequence[int], first: int = 0, step: int = 1) -> str:
    """Return a line through the rows from x = `first` on; -1 breaks it, a single row is a dot."""
    return "".join(_segments(rows, first, step))


def _segments(rows: Sequence[int], first: int, step: int) -> Iterable[str]:
    last = len(rows) - 1
    drawing = False
    for index, row in enumerate(rows):
        if row < 0:
            drawing = False
            continue
        x = first + index * step
        if drawing:
            yield f"L{x} {row}"
        else:
            single = index == last or rows[index + 1] < 0
            yield f"M{x} {row}h0" if single else f"M{x} {row}"
        drawing = True


def band_path(lower: Sequence[int], upper: Sequence[int], first: int = 0, step: int = 1) -> str:
    """Return the area between two lines without gaps; empty for lines without points."""
    forward = [f"{first + i * step} {row}" for i, row in enumerate(upper)]
    backward = [f"{first + i * step} {row}" for i, row in enumerate(lower)]
    return f"M{'L'.join(forward)}L{'L'.join(reversed(backward))}Z" if forward else ""
