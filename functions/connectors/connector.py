"""Connector contract: what a pull adapter implements, as docs/sources.md describes it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from functions.engine.function import Unreachable
from functions.normalize.columns import Documents
from functions.normalize.devices import STOCK_RULES, DeviceRules
from functions.normalize.mapping import Time
from storage.config.folders import Folders
from storage.model.reject_log import RejectLog
from storage.model.time_limits import STOCK_LIMITS, TimeLimits

__all__ = ["Connector", "Document", "Page", "ReadOptions", "Unreachable"]

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a source file says outside its [connection] section.

    `time` is the mapping's time field: the first of its names that the source has orders the
    documents. `fields` are the paths that the mapping may read, for a projection. `reader` is a
    fingerprint of what makes rows of documents: the mapping, and this program's version. `shaped`
    is True where records are made of parts of documents: their fields have other names. Without a
    position a connector starts `history` before now. On a `dry` run it must change nothing.
    `rules` say which volumes and links count, where the connector chooses them; `limits` say which
    times of samples can be true.
    """

    name: str
    folders: Folders
    time: Time
    fields: tuple[str, ...]
    every: timedelta = timedelta(seconds=5)
    history: timedelta = timedelta(days=1)
    dry: bool = False
    rules: DeviceRules = STOCK_RULES
    limits: TimeLimits = STOCK_LIMITS
    reader: str = ""
    shaped: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Documents, and the position (any JSON value) to resume from after them.

    A native time of the source is an aware datetime. `notes` are shown to the operator unchanged;
    `refused` counts documents that could not be parsed, which the notes explain. A `final` page
    ends something complete, such as a file: nothing later is merged with its rows, and it cannot be
    fetched again. After a page with `again` the connector is called again at once instead of at the
    next period. A page that `begins` a file may have older documents than the pages before it, and
    they are treated like the first ones. `on_mapped` is called with the number of rows that the
    documents became, and with what was refused of them.
    """

    documents: Documents  # a table where the source is columnar
    position: Any
    notes: tuple[str, ...] = ()
    refused: int = 0
    final: bool = False
    again: bool = False
    begins: bool = False
    on_mapped: Callable[[int, RejectLog], None] | None = None


class Connector(Protocol):
    """An open connection to one source."""

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """Yield what the source has after `position`, in time order, until there is no more now.

        All rows up to `position` are safe in the inbox or the lake. Raises Unreachable, with a
        remedy for the operator, when the source does not answer; pages yielded before it count.
        """
        ...

    def close(self) -> None:
        """Release the connection."""
        ...
