"""Work on many servers that fails for one: the others are done, and the one is known."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Divided", "divide_on_failure"]

T = TypeVar("T")

log = logging.getLogger("functions")


@dataclass(frozen=True, slots=True)
class Divided(Generic[T]):
    """Results with the range of servers that each is of, in order, and errors by server."""

    results: Sequence[tuple[slice, T]]
    failures: Mapping[int, Exception]


def divide_on_failure(servers: Sequence[str], work: Callable[[slice], T]) -> Divided[T]:
    """Do `work` on the range of all servers; where it raises, on each half of the range.

    One failure among n costs about twice the work. When all of several fail, no server is to
    blame: then the first error is raised.
    """
    results: list[tuple[slice, T]] = []
    failures: dict[int, Exception] = {}
    ranges = [slice(0, len(servers))]
    while ranges:
        part = ranges.pop()
        try:
            results.append((part, work(part)))
        except Exception as error:  # a model and a rule may raise anything on what they were sent
            if part.stop - part.start <= 1:
                failures[part.start] = error
                continue
            middle = (part.start + part.stop) // 2
            ranges += [slice(middle, part.stop), slice(part.start, middle)]
    if failures and not results and len(servers) != 1:
        raise next(iter(failures.values()))
    for place, failure in failures.items():
        log.error("%s is left out: %s: %s", servers[place], type(failure).__name__, failure)
    return Divided(results, failures)
