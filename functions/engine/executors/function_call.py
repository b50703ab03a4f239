"""A call of a function: what it is handed, and what comes back; both cross to worker processes."""

from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from functions.engine.function import Batch

__all__ = ["CallRequest", "CallResult", "Cost"]


class CallRequest(msgspec.Struct, frozen=True):
    """What a function is handed, beside what it reads of the lake itself."""

    now: datetime
    cursor: str | None = None
    paths: tuple[Path, ...] = ()
    body: Any = None


class Cost(msgspec.Struct, frozen=True):
    """CPU seconds of a run, and the largest resident size that its process ever had [MB]."""

    cpu_s: float = 0.0
    peak_rss_mb: float = 0.0


class CallResult(msgspec.Struct, frozen=True):
    """The batch that a run returned, what it read of the lake, and what it cost (None: unknown)."""

    batch: Batch
    input_snapshot: int | None = None
    rows_in: int = 0
    cost: Cost | None = None
