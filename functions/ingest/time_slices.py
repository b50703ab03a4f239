"""Time slices: the samples of a server in pieces of which each fits a table of times and parts."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter

from functions.ingest.partial_samples import Column, Part

__all__ = ["MAX_CELLS", "time_slices"]

# Of the table [time, part] that is made of a slice: 8 MB for each array over it.
MAX_CELLS = 1_000_000

Sample = tuple[int, Part, float]


def time_slices(
    parts: Mapping[Part, Column], max_cells: int = MAX_CELLS
) -> Iterator[Mapping[Part, Column]]:
    """The samples of `parts` in the order of time, in slices of at most `max_cells` cells.

    A slice has all samples of its times, one time at least, and only the parts that have a sample
    in it. So a table of each takes linear memory, where samples of different parts at different
    times would make one of all their times and parts.
    """
    samples = sum(len(timestamps) for timestamps, _ in parts.values())
    if samples * len(parts) <= max_cells or _cells(parts) <= max_cells:
        yield parts
        return
    taken: dict[Part, Column] = {}
    times = 0
    for _, group in groupby(_by_time(parts), itemgetter(0)):
        same = list(group)
        new = {part for _, part, _ in same if part not in taken}
        if taken and (times + 1) * (len(taken) + len(new)) > max_cells:
            yield taken
            taken, times = {}, 0
        times += 1
        for ts, part, value in same:
            column = taken.setdefault(part, ([], []))
            column[0].append(ts)
            column[1].append(value)
    yield taken


def _cells(parts: Mapping[Part, Column]) -> int:
    return len(parts) * len(set().union(*(timestamps for timestamps, _ in parts.values())))


def _by_time(parts: Mapping[Part, Column]) -> list[Sample]:
    """All samples by time; those of one time and part in the order in which they came."""
    samples = [
        (ts, part, value)
        for part, column in parts.items()
        for ts, value in zip(*column, strict=True)
    ]
    samples.sort(key=itemgetter(0))
    return samples
