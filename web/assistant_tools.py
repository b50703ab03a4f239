"""What an assistant may ask: the fleet, a server, episodes, a forecast, SQL. All in the sandbox."""

from typing import Annotated, Any, Protocol

import pyarrow as pa
from pydantic import Field

from storage.model.schema import Schema
from storage.platform.printable import printable_json
from storage.query.plain_values import json_text
from storage.query.result_files import distinct, plain_rows
from web.display.schema_browser import relations
from web.query_links import literal
from web.query_runner import QueryRows

__all__ = ["AssistantTools"]

MAX_ROWS = 1000
FLEET = (
    "server, profile, site, severity, score, now_score, ahead_score, respond_within_minutes, "
    "p_breach_30m, p_breach_480m, breach_metric, breach_earliest, breach_likely, breach_latest, "
    "last_seen, forecast_state"
)

Limit = Annotated[int, Field(ge=1, le=MAX_ROWS, description="the most rows")]
ServerName = Annotated[str, Field(description="the exact name of a server, as `fleet` has it")]


class Runner(Protocol):
    """Runs a statement in the sandbox."""

    async def file(self, sql: str, max_rows: int) -> QueryRows:
        """Return its rows."""


class AssistantTools:
    """Read-only tools; each answer is JSON with `rows` (objects) and `truncated`, times in UTC."""

    def __init__(self, runner: Runner, schema: Schema) -> None:
        self._runner, self._schema = runner, schema

    async def fleet(self, limit: Limit = 50) -> str:
        """List the servers, worst first: severity, risk scores (0 to 100), the odds of a breach.

        `p_breach_480m` is the chance of a breach within 8 hours; NULL means not known.
        """
        return await self._answer(
            f"SELECT {FLEET} FROM fleet_now ORDER BY score DESC NULLS LAST, server", limit
        )

    async def server(self, server: ServerName) -> str:
        """Show one server: its state, odds, reasons, and the newest 5-minute means."""
        name = literal(server)
        return await self._answer(
            "SELECT f.*, newest.* EXCLUDE (server) FROM fleet_now AS f LEFT JOIN ("
            f"FROM metrics_5m WHERE server = {name} AND ts > now() - INTERVAL 1 HOUR "
            f"ORDER BY ts DESC LIMIT 1) AS newest USING (server) WHERE f.server = {name}", 1
        )  # fmt: skip

    async def episodes(
        self,
        server: Annotated[str, Field(description="one server; empty: all")] = "",
        history_days: Annotated[int, Field(ge=0, le=400)] = 0,
        limit: Limit = 50,
    ) -> str:
        """List alert episodes, newest first: the open ones, and those that ended lately.

        An episode is a warning or a breach with its times, odds, reasons and who answered it.
        """
        only = f" AND server = {literal(server)}" if server else ""
        return await self._answer(
            "SELECT * FROM alerts WHERE (ended_at IS NULL OR ended_at > now() - "
            f"INTERVAL {history_days} DAYS){only} ORDER BY opened_at DESC", limit
        )  # fmt: skip

    async def forecast(
        self,
        server: ServerName,
        metric: Annotated[str, Field(description="such as mem_used_pct")],
    ) -> str:
        """Show the newest forecast of a metric: quantiles in 5-minute steps, 8 hours ahead."""
        return await self._answer(
            "SELECT issued_at, model, state, ts, lead_minutes, p10, p50, p90 FROM forecast_latest "
            f"WHERE server = {literal(server)} AND metric = {literal(metric)} ORDER BY ts", MAX_ROWS
        )  # fmt: skip

    async def sql(
        self,
        query: Annotated[str, Field(description="one SELECT in DuckDB's SQL, or EXPLAIN of one")],
        limit: Limit = 200,
    ) -> str:
        """Run a query over the lake, read-only, for at most 5 s. `schema` lists the tables."""
        return await self._answer(query, limit)

    async def schema(
        self, name: Annotated[str, Field(description="a view or table; empty: list all")] = ""
    ) -> str:
        """List the views and tables, or the columns of one with their types and meanings."""
        every = relations(self._schema)
        if not name:
            rows: list[Any] = [[r.name, r.kind, r.purpose] for r in every]
            return _json(["name", "kind", "holds"], rows, truncated=False)
        rows = [list(column) for r in every if r.name == name for column in r.columns]
        return _json(["column", "type", "meaning"], rows, truncated=False)

    async def _answer(self, sql: str, limit: int) -> str:
        result = await self._runner.file(sql, limit)
        rows: pa.Table = result.rows
        return _json(distinct(rows.column_names), plain_rows(rows), truncated=result.truncated)


def _json(names: list[str], rows: list[list[Any]], *, truncated: bool) -> str:
    objects = [dict(zip(names, row, strict=True)) for row in rows]
    return printable_json(json_text({"rows": objects, "truncated": truncated}))
