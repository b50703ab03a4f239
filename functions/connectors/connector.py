"""What an adapter is asked for, and what it hands over: the contract of docs/sources.md."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from functions.engine.function import Unreachable
from functions.normalize.columns import Documents
from functions.normalize.mapping import Time
from storage.config.folders import Folders

__all__ = ["Connector", "Document", "Page", "ReadOptions", "Unreachable"]

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """What a source file says beside its connection.

    `time` is the mapping's time field (the first of its names that the source has orders the
    documents); `fields` are the paths that the mapping may read, for a projection. Without a
    position a feed begins `history` before now. On a `dry` run it changes nothing at all.
    """

    name: str
    folders: Folders
    time: Time
    fields: tuple[str, ...]
    every: timedelta = timedelta(seconds=5)
    history: timedelta = timedelta(days=1)
    dry: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """Some documents, and the position (anything that JSON can hold) to go on from after them.

    A time that the source holds natively is an aware datetime. `notes` are told to the operator as
    they are. A page that is `final` belongs to something complete, a file: nothing that comes later
    is to be merged with it, and it cannot be fetched again. After one that says `again` the feed is
    asked again at once, not at the next period: its source pushes.
    """

    documents: Documents  # a table where the source is columnar
    position: Any
    notes: tuple[str, ...] = ()
    refused: int = 0  # documents that were not even readable; `notes` say why
    final: bool = False
    again: bool = False


class Connector(Protocol):
    """An open connection to one source."""

    def pages(self, position: Any | None, now: datetime) -> Iterator[Page]:
        """What lies after `position`, in the order of time, until there is no more at present.

        A position that is handed in is safe: all rows up to it are in the inbox or the lake.
        Raises Unreachable, in words that an operator can act on, when the source does not answer;
        what was handed over until then counts.
        """
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...
