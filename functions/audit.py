"""Audit: what people did at the site and its API, as the site reports it."""

from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import request
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from storage.model.schema import table

__all__ = ["audit"]

MAX_ENTRIES = 1000


class AuditEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A row of the table `audit`; `ts` has a time zone."""

    entry: str
    ts: datetime
    actor: str
    action: str
    outcome: str
    role: str | None = None
    shown_by: str | None = None
    target: str | None = None
    detail: str | None = None
    address: str | None = None
    reason: str | None = None

    def __post_init__(self) -> None:
        if self.ts.tzinfo is None:
            raise ValueError("ts has no time zone: write it as 2026-05-06T12:00:00Z")


@function(on=request(), writes="audit")
def audit(body: Any) -> Batch:
    """Record what people did; `body` is a list of entries. Those that are not valid are refused."""
    taken, reasons = [], []
    for number, raw in enumerate(body if isinstance(body, list) else [body], 1):
        if number > MAX_ENTRIES:
            reasons.append(f"more than {MAX_ENTRIES} entries: send the rest in another request")
            break
        try:
            taken.append(msgspec.structs.asdict(_decoded(raw)))
        except SourceInvalid as error:
            reasons.append(f"entry {number}: {error}")
    rows = pa.Table.from_pylist(taken, table("audit").arrow)
    return Batch({"audit": rows} if taken else {}, refused=len(reasons), reasons=tuple(reasons))


def _decoded(raw: Any) -> AuditEntry:
    if not isinstance(raw, dict):
        raise SourceInvalid(f"{raw!r} is not an entry (expected an object with ts, actor, action)")
    decoded: AuditEntry = decode_strict(raw, AuditEntry)
    return decoded
