"""Marks: what people do or announce, such as an answer to an alert, a deployment or a silence."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from functions.engine.function import Batch, function
from functions.engine.triggers import request
from functions.engine.window import Window
from functions.normalize.strict_toml import SourceInvalid, decode_strict
from functions.rules.alerts.episode import MarkFields
from storage.model.grid import HORIZON_STEPS, STEP
from storage.model.periods import parse_period
from storage.model.schema import table

__all__ = ["KINDS", "mark"]

# What it is, and for how long it holds unless it says so: None, until it is ended.
KINDS: dict[str, timedelta | None] = {
    "acknowledged": timedelta(0),
    "acting": HORIZON_STEPS * STEP,
    "remediation": HORIZON_STEPS * STEP,
    "deploy": HORIZON_STEPS * STEP,
    "silence": None,
    "unsilence": timedelta(0),
    "closed": timedelta(0),
}
OF_EPISODES = ("acknowledged", "closed")
MAX_MARKS = 1000
_TARGETS = ("server", "pattern", "episode")


class MarkRequest(MarkFields, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One mark as it is sent, by an id of the sender's own if there is one.

    Times have a zone; `lasts` is a period such as "2h", in place of `ends_at`.
    """

    lasts: str | None = None
    mark: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}, expected one of {', '.join(KINDS)}")
        targets = [name for name in _TARGETS if getattr(self, name)]
        if len(targets) != 1:
            raise ValueError(
                f"{' and '.join(targets) or 'nothing'} is given, expected one of "
                f"{', '.join(_TARGETS)}"
            )
        if self.kind in OF_EPISODES and not self.episode:
            raise ValueError(f"episode is missing: a mark {self.kind!r} names the episode")
        if self.lasts is not None and self.ends_at is not None:
            raise ValueError("lasts and ends_at are given, expected one of them")
        if self.lasts is not None:
            parse_period(self.lasts)
        for key in ("starts_at", "ends_at"):
            ts = getattr(self, key)
            if ts is not None and ts.tzinfo is None:
                raise ValueError(f"{key} has no time zone: write it as 2026-05-06T12:00:00Z")


@function(on=request(), writes="marks")
def mark(window: Window, body: Any) -> Batch:
    """Record what somebody did or announced; `body` is one mark or a list of marks."""
    taken, reasons = [], []
    for number, raw in enumerate(body if isinstance(body, list) else [body], 1):
        if number > MAX_MARKS:
            reasons.append(f"more than {MAX_MARKS} marks: send the rest in another request")
            break
        try:
            taken.append(_row(_decoded(raw), window.now))
        except SourceInvalid as error:
            reasons.append(f"mark {number}: {error}" if isinstance(body, list) else str(error))
    known = _episodes(window, [row["episode"] for row in taken if row["episode"]])
    rows = []
    for row in taken:
        if row["episode"] and row["episode"] not in known:
            reasons.append(f"there is no episode {row['episode']!r}: see 'hoursight alerts'")
        else:
            rows.append(row | known.get(row["episode"], {}))
    marks = pa.Table.from_pylist(rows, table("marks").arrow)
    return Batch({"marks": marks} if rows else {}, refused=len(reasons), reasons=tuple(reasons))


def _decoded(raw: Any) -> MarkRequest:
    if not isinstance(raw, dict):
        raise SourceInvalid(
            f"{raw!r} is not a mark (expected an object such as "
            '{"kind": "deploy", "pattern": "web-*"})'
        )
    decoded: MarkRequest = decode_strict(raw, MarkRequest)
    return decoded


def _row(given: MarkRequest, now: datetime) -> dict[str, Any]:
    starts_at = (given.starts_at or now).astimezone(UTC)
    lasts = parse_period(given.lasts) if given.lasts else KINDS[given.kind]
    ends_at = given.ends_at or (None if lasts is None else starts_at + lasts)
    row = msgspec.structs.asdict(given) | {"ts": now, "starts_at": starts_at, "ends_at": ends_at}
    del row["lasts"]
    return row | {"mark": given.mark or _fingerprint(row)}


def _fingerprint(row: dict[str, Any]) -> str:
    """The id of a mark: the same when the same request is repeated at the same time."""
    text = repr([row[name] for name in ("kind", *_TARGETS, "metric", "ts", "made_by", "note")])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _episodes(window: Window, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return server and metric of episodes by id: scores leave out what was acted on by these."""
    if not names:
        return {}
    rows = window.sql(
        "SELECT episode, any_value(server) AS server, any_value(metric) AS metric "
        "FROM alert_events WHERE list_contains($names, episode) GROUP BY episode",
        names=list(names),
    ).to_pylist()
    return {row["episode"]: {"server": row["server"], "metric": row["metric"]} for row in rows}
