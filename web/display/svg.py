"""Paths of server-drawn SVG: lines that keep their gaps, and bands."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Values", "band_path", "line_path", "rows_of"]

Values = NDArray[np.float32]


def rows_of(values: Values, low: float, high: float, height: int) -> list[int]:
    """Pixel rows of values, 0 at the top for `high`; -1 where there is no value."""
    share = (np.clip(values, low, high) - low) / ((high - low) or 1)
    rows = np.round(height * (1 - share))
    return [int(row) for row in np.where(np.isnan(rows), -1, rows)]


def line_path(rows: Sequence[int], first: int = 0, step: int = 1) -> str:
    """A line through the rows; a missing one breaks it, a lonely one is a dot."""
    return "".join(_strokes(rows, first, step))


def _strokes(rows: Sequence[int], first: int, step: int) -> Iterable[str]:
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
            lonely = index == last or rows[index + 1] < 0
            yield f"M{x} {row}h0" if lonely else f"M{x} {row}"
        drawing = True


def band_path(lower: Sequence[int], upper: Sequence[int], first: int = 0, step: int = 1) -> str:
    """The area between two gapless lines."""
    there = [f"{first + i * step} {row}" for i, row in enumerate(upper)]
    back = [f"{first + i * step} {row}" for i, row in enumerate(lower)]
    return f"M{'L'.join(there)}L{'L'.join(reversed(back))}Z" if there else ""
