"""A function of the system: what it is called, what sets it off, where its rows go."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pyarrow as pa

from functions.engine.triggers import Request, Rows, Trigger
from storage.errors import HoursightError
from storage.model.names import check_names
from storage.model.periods import parse_period
from storage.model.schema import table

__all__ = [
    "UNREACHABLE", "Batch", "Declared", "Function", "Unreachable", "function", "functions_in",
    "hash_of",
]  # fmt: skip

# What the runner can hand out.
ARGUMENTS = ("now", "window", "shelf", "cursor", "settings", "paths", "body")


class Unreachable(HoursightError):
    """A source does not answer: no fault of the function, which is tried again and never parked."""

    retryable = True


UNREACHABLE = (Unreachable, ConnectionError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a run brings: rows for each table, and where its source goes on (`cursor`).

    An adapter that found nothing returns `Batch()`. With `more` it is called again at once. What it
    had to leave out is `refused`, in number, for `reasons` in words.
    """

    rows: Mapping[str, pa.Table] = field(default_factory=dict)
    cursor: str | None = None
    window_key: str | None = None
    model: str | None = None
    more: bool = False
    refused: int = 0
    reasons: tuple[str, ...] = ()

    @property
    def row_count(self) -> int:
        """Rows over all tables."""
        return sum(rows.num_rows for rows in self.rows.values())


class Declared(msgspec.Struct, frozen=True):
    """What a function says of itself: data, which another process may be told."""

    name: str
    on: tuple[Trigger, ...]
    writes: tuple[str, ...]
    purpose: str
    needs: tuple[str, ...]
    code_hash: str  # of the source file that it stands in
    deadline: timedelta = timedelta(seconds=30)
    memory_mb: int = 512
    cursor_required: bool = True

    def answers_to(self, name: str) -> bool:
        """Return True if `name` is its name or the path of one of its requests."""
        paths = {t.path for t in self.on if isinstance(t, Request) and t.path}
        return name == self.name or name in paths


class Function(Declared, frozen=True, kw_only=True):
    """A registered function; `call` is the Python function itself, with the arguments it names.

    It may name `now` (datetime, UTC), `window` (Window), `shelf` (Shelf), `cursor` (str or None),
    `settings` (the struct of its own section), `paths` (of the files that set it off) and `body`
    (the JSON that was sent with a request), and is handed those.
    """

    call: Callable[..., Any]

    def declared(self) -> Declared:
        """The function without its code."""
        return Declared(**{name: getattr(self, name) for name in Declared.__struct_fields__})

    def batch(self, result: Any) -> Batch:
        """What `call` returned as a batch; TypeError says what it should have been."""
        if isinstance(result, pa.Table):
            result = Batch({self.writes[0]: result})
        if not isinstance(result, Batch):
            raise TypeError(
                f"{self.name} returned {type(result).__name__}: return a pyarrow.Table of rows for "
                f"{self.writes[0]!r} or a Batch"
            )
        strangers = set(result.rows) - set(self.writes)
        if strangers:
            raise TypeError(
                f"{self.name} returned rows for {', '.join(sorted(strangers))}: name the table in "
                f"@function(writes=…), which has {', '.join(self.writes)}"
            )
        return _with_valid_names(result)


def function(
    *,
    on: Trigger | tuple[Trigger, ...],
    writes: str | tuple[str, ...],
    deadline: str = "30s",
    memory_mb: int = 512,
    cursor_required: bool = True,
) -> Callable[[Callable[..., Any]], Function]:
    """Register a Python function: `on` sets it off, `writes` names its tables of the lake.

    An adapter or a user's function that runs longer than `deadline`, or whose process holds more
    than `memory_mb`, is stopped. While the lake cannot be read, a function whose cursor is only
    there waits; with `cursor_required=False` it begins without one. Raises UnknownTable, and
    TypeError for an argument that no function is handed.
    """
    triggers = on if isinstance(on, tuple) else (on,)
    tables = writes if isinstance(writes, tuple) else (writes,)
    within = parse_period(deadline)
    for trigger in triggers:
        if not isinstance(trigger, Trigger):
            raise TypeError(
                f"on={trigger!r} sets nothing off: write every(…), cron(…), rows(…), files(…) or "
                "request(…)"
            )
        if isinstance(trigger, Rows):
            table(trigger.table)
    for name in tables:
        table(name)

    def register(call: Callable[..., Any]) -> Function:
        purpose = (inspect.getdoc(call) or "").split("\n", 1)[0]
        needs = tuple(inspect.signature(call).parameters)
        strangers = [name for name in needs if name not in ARGUMENTS]
        if strangers:
            raise TypeError(
                f"{call.__name__} asks for {', '.join(strangers)}: a function may ask for "
                f"{', '.join(ARGUMENTS)}"
            )
        return Function(
            call.__name__, triggers, tables, purpose, needs, _code_hash(call), within, memory_mb,
            cursor_required, call=call,
        )  # fmt: skip

    return register


def _with_valid_names(batch: Batch) -> Batch:
    """The batch without rows whose names the writer would refuse, and with the reasons."""
    checked = {name: check_names(rows, table(name).columns) for name, rows in batch.rows.items()}
    return replace(
        batch,
        rows={name: each.rows for name, each in checked.items()},
        refused=batch.refused + sum(each.refused for each in checked.values()),
        reasons=(*batch.reasons, *(why for each in checked.values() for why in each.reasons)),
    )


def functions_in(module: ModuleType) -> list[Function]:
    """The functions that a module itself declares."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, Function) and value.call.__module__ == module.__name__
    ]


def hash_of(source: bytes) -> str:
    """Fingerprint of a source file."""
    return hashlib.sha256(source).hexdigest()[:16]


def _code_hash(call: Callable[..., Any]) -> str:
    path = Path(getattr(sys.modules.get(call.__module__), "__file__", None) or "")
    return hash_of(path.read_bytes() if path.is_file() else call.__code__.co_code)
