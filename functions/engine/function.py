"""Functions: the decorator that registers one, what it declares, and the batch that it returns."""

import hashlib
import inspect
import sys
import warnings
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
    "ARGUMENTS", "FORMER_ARGUMENTS", "UNREACHABLE", "Batch", "Declared", "DeprecatedArgument",
    "Function", "Unreachable", "function", "functions_in", "hash_of",
]  # fmt: skip

# What a function may name as an argument.
ARGUMENTS = ("now", "window", "model", "cursor", "settings", "devices", "paths", "body")
FORMER_ARGUMENTS = {"shelf": "model"}


class Unreachable(HoursightError):
    """A source does not answer. This is not the function's fault: it is never suspended for it."""

    retryable = True


class DeprecatedArgument(DeprecationWarning):
    """A function names an argument by a name that ends with the next release."""


UNREACHABLE = (Unreachable, ConnectionError, TimeoutError)


@dataclass(frozen=True, slots=True)
class Batch:
    """What a run returns: rows for each table, and the `cursor` at which its source continues.

    A function that has no new rows returns `Batch()`. With `more` it is called again at once.
    `refused` counts the rows and values that it left out, `clamped` the values that it stored as
    the bound of their metric, and `reasons` says why in words.
    `window_key` names the window that the rows were made from, `model` the model by its hash.
    `answer` is what a call is answered with beside the rows, as values that JSON has; it is not
    stored.

    This is the one description of a batch: worker processes, the run log and the segments take its
    fields by name.
    """

    rows: Mapping[str, pa.Table] = field(default_factory=dict)
    cursor: str | None = None
    window_key: str | None = None
    model: str | None = None
    more: bool = False
    refused: int = 0
    reasons: tuple[str, ...] = ()
    clamped: int = 0
    answer: Any = None

    @property
    def row_count(self) -> int:
        """Return the number of rows in all tables."""
        return sum(rows.num_rows for rows in self.rows.values())


class Declared(msgspec.Struct, frozen=True):
    """What a function declares: data, which crosses to other processes."""

    name: str
    on: tuple[Trigger, ...]
    writes: tuple[str, ...]
    purpose: str
    needs: tuple[str, ...]
    code_hash: str  # of its source file
    deadline: timedelta = timedelta(seconds=30)
    memory_mb: int = 512
    cursor_required: bool = True

    def answers_to(self, name: str) -> bool:
        """Return True if `name` is its name or the path of one of its requests."""
        paths = {t.path for t in self.on if isinstance(t, Request) and t.path}
        return name == self.name or name in paths


class Function(Declared, frozen=True, kw_only=True):
    """A registered function; `call` is the Python function itself, with the arguments it names.

    It may name `now` (datetime, UTC), `window` (Window), `model` (ServingModel), `cursor` (str or
    None), `settings` (the struct of its own section), `devices` (which volumes and links count, by
    the settings), `paths` (of the files that set it off) and
    `body` (the JSON that was sent with a request), and is handed those.
    """

    call: Callable[..., Any]

    def declared(self) -> Declared:
        """Return the declaration without the code."""
        return Declared(**{name: getattr(self, name) for name in Declared.__struct_fields__})

    def batch(self, result: Any) -> Batch:
        """Return the result of `call` as a batch. Raises TypeError if it is not one."""
        if isinstance(result, pa.Table) and self.writes:
            result = Batch({self.writes[0]: result})
        if not isinstance(result, Batch):
            raise TypeError(
                f"{self.name} returned {type(result).__name__}: return "
                + (f"a pyarrow.Table of rows for {self.writes[0]!r} or " if self.writes else "")
                + "a Batch"
            )
        unknown = set(result.rows) - set(self.writes)
        if unknown:
            raise TypeError(
                f"{self.name} returned rows for {', '.join(sorted(unknown))}: name the table in "
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

    A function that only answers calls has `writes=()`.
    An adapter or a user's function that runs longer than `deadline`, or whose process uses more
    than `memory_mb`, is stopped. While the lake cannot be read, a function whose cursor is only
    there waits; with `cursor_required=False` it starts without one. Raises UnknownTable, and
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
        _check_arguments(call.__name__, needs)
        return Function(
            call.__name__, triggers, tables, purpose, needs, _code_hash(call), within, memory_mb,
            cursor_required, call=call,
        )  # fmt: skip

    return register


def _check_arguments(name: str, needs: tuple[str, ...]) -> None:
    unknown = [need for need in needs if need not in (*ARGUMENTS, *FORMER_ARGUMENTS)]
    if unknown:
        raise TypeError(
            f"{name} has the argument {', '.join(unknown)} (expected some of "
            f"{', '.join(ARGUMENTS)})"
        )
    for former in FORMER_ARGUMENTS.keys() & set(needs):
        warnings.warn(
            f"the argument {former!r} of {name} ends with the next release: "
            f"name it {FORMER_ARGUMENTS[former]!r}",
            DeprecatedArgument,
            stacklevel=3,
        )


def _with_valid_names(batch: Batch) -> Batch:
    """Return the batch without rows whose names the writer would refuse, and with the reasons."""
    checked = {name: check_names(rows, table(name).columns) for name, rows in batch.rows.items()}
    return replace(
        batch,
        rows={name: each.rows for name, each in checked.items()},
        refused=batch.refused + sum(each.refused for each in checked.values()),
        reasons=(*batch.reasons, *(why for each in checked.values() for why in each.reasons)),
    )


def functions_in(module: ModuleType) -> list[Function]:
    """Return the functions that a module itself declares."""
    return [
        value
        for value in vars(module).values()
        if isinstance(value, Function) and value.call.__module__ == module.__name__
    ]


def hash_of(source: bytes) -> str:
    """Return the fingerprint of a source file."""
    return hashlib.sha256(source).hexdigest()[:16]


def _code_hash(call: Callable[..., Any]) -> str:
    path = Path(getattr(sys.modules.get(call.__module__), "__file__", None) or "")
    return hash_of(path.read_bytes() if path.is_file() else call.__code__.co_code)
