"""A function of the system: what it is called, what sets it off, where its rows go."""

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pyarrow as pa

from functions.runtime.triggers import Trigger
from storage.schema import table

__all__ = ["Batch", "Function", "function"]

# What the runner can hand out.
ARGUMENTS = ("now", "window", "shelf", "cursor", "settings")


@dataclass(frozen=True, slots=True)
class Batch:
    """What a run brings: rows for each table, and where its source goes on (`cursor`).

    An adapter that found nothing returns `Batch()`.
    """

    rows: Mapping[str, pa.Table] = field(default_factory=dict)
    cursor: str | None = None
    window_key: str | None = None
    model: str | None = None

    @property
    def row_count(self) -> int:
        """Rows over all tables."""
        return sum(rows.num_rows for rows in self.rows.values())


@dataclass(frozen=True)
class Function:
    """A registered function; `call` is the Python function itself, with the arguments it names.

    It may name `now` (datetime, UTC), `window` (Window), `shelf` (Shelf), `cursor` (str or None)
    and `settings` (the struct of its own section), and is handed those.
    """

    name: str
    call: Callable[..., Any]
    on: tuple[Trigger, ...]
    writes: tuple[str, ...]
    purpose: str

    @cached_property
    def needs(self) -> tuple[str, ...]:
        """The arguments it asks for."""
        return tuple(inspect.signature(self.call).parameters)

    @cached_property
    def code_hash(self) -> str:
        """Fingerprint of the source file that it stands in."""
        source = inspect.getsource(inspect.getmodule(self.call) or self.call)
        return hashlib.sha256(source.encode()).hexdigest()[:16]

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
        return result


def function(
    *, on: Trigger | tuple[Trigger, ...], writes: str | tuple[str, ...]
) -> Callable[[Callable[..., Any]], Function]:
    """Register a Python function: `on` sets it off, `writes` names its tables of the lake.

    Raises UnknownTable, and TypeError for an argument that no function is handed.
    """
    triggers = on if isinstance(on, tuple) else (on,)
    tables = writes if isinstance(writes, tuple) else (writes,)
    for name in tables:
        table(name)

    def register(call: Callable[..., Any]) -> Function:
        purpose = (inspect.getdoc(call) or "").split("\n", 1)[0]
        made = Function(call.__name__, call, triggers, tables, purpose)
        strangers = [name for name in made.needs if name not in ARGUMENTS]
        if strangers:
            raise TypeError(
                f"{made.name} asks for {', '.join(strangers)}: a function may ask for "
                f"{', '.join(ARGUMENTS)}"
            )
        return made

    return register
