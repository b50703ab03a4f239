"""Fleet isolation: when work on many servers fails for one, the others still get their results."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Divided", "divide_on_failure"]

T = TypeVar("T")

log = logging.getLogger("functions")


@dataclass(frozen=True, slots=True)
class Divided(Generic[T]):
    """Results, each with its range of servers, in order; and errors by the index of the server."""

    results: Sequence[tuple[slice, T]]
    failures: Mapping[int, Exception]


def divide_on_failure(servers: Sequence[str], work: Callable[[slice], T]) -> Divided[T]:
    """Call `work` with the range of all servers; where it raises, with each half of the range.

    One failure among n servers costs about twice the work. When several fail and none succeeds, the
    servers are not the cause: then the first error is raised.
    """
    results: list[tuple[slice, T]] = []
    failures: dict[int, Exception] = {}
    ranges = [slice(0, len(servers))]
    while ranges:
        part = ranges.pop()
        try:
            results.append((part, work(part)))
        except Exception as error:  # a model and a rule may raise anything
            if part.stop - part.start <= 1:
                failures[part.start] = error
                continue
            middle = (part.start + part.stop) // 2
            ranges += [slice(middle, part.stop), slice(part.start, middle)]
    if failures and not results and len(servers) != 1:
        raise next(iter(failures.values()))
    for index, failure in failures.items():
        log.error("%s is left out: %s: %s", servers[index], type(failure).__name__, failure)
    return Divided(results, failures)
