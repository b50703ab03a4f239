"""What a reader chose on the page of a server, as the query of its URL."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from litestar.params import QueryParameter

from web.display.spans import Span, span_of
from web.http_errors import HttpRejection
from web.pages.server_view import SAID

__all__ = ["Changes", "ServerChoice", "Since", "Until"]

Since = Annotated[str, QueryParameter(name="from", required=False)]
Until = Annotated[str, QueryParameter(name="to", required=False)]
Changes = Annotated[str, QueryParameter(name="set", required=False)]
_KEYS = {"since": "from", "until": "to", "changes": "set"}  # `from` is a word of Python


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The fields of the query; an empty one is not chosen. Raises HttpRejection.

    `changes` are those of a what-if, `quiet` and `within` are what a quiet hour is wanted for.
    """

    last: str = ""
    since: str = ""
    until: str = ""
    said: str = ""
    changes: str = ""
    quiet: str = ""
    within: str = ""

    def __post_init__(self) -> None:
        if self.said and self.said not in SAID:
            raise HttpRejection(
                400, f"said={self.said[:40]!r} is not known", f"choose one of {', '.join(SAID)}"
            )

    def span(self, now: datetime) -> Span:
        """Return the time that the charts show. Raises HttpRejection."""
        return span_of(now, self.last, self.since, self.until)

    def query(self, **changes: str) -> str:
        """Return the query of a URL, with `?`, with some fields changed; empty without any."""
        fields = {_KEYS.get(k, k): v for k, v in (asdict(self) | changes).items() if v}
        return f"?{urlencode(fields)}" if fields else ""

    @property
    def fields(self) -> dict[str, str]:
        """What was chosen, by the names of the query."""
        return {_KEYS.get(k, k): v for k, v in asdict(self).items() if v}

    def with_span(self, last: str) -> str:
        """Return the query that shows the period `last` before now; empty: the usual one."""
        return self.query(last=last, since="", until="")
