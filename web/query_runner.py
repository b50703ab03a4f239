"""Queries of people and programs: run in a sandbox, a few at a time, within limits."""

import logging

from anyio import CapacityLimiter, to_thread
from litestar.datastructures import State

from storage.config.folders import Folders
from storage.sandbox.frames import QueryRequest
from storage.sandbox.sandbox_pool import SandboxPool
from storage.sandbox.sandbox_process import QueryRows, SandboxFailed, SandboxUnavailable
from web.http_errors import HttpRejection
from web.turns import Turns

__all__ = [
    "DEADLINE_S", "FILE_ROWS", "MAX_QUERY", "PAGE_ROWS", "QueryRows", "QueryRunner",
    "SandboxFailed", "SandboxUnavailable", "failure_text", "rows_for_program", "runner_of",
]  # fmt: skip

log = logging.getLogger(__name__)

DEADLINE_S = 5.0
MAX_QUERY = 30_000  # characters
PAGE_ROWS, PAGE_BYTES = 10_000, 16 << 20
FILE_ROWS, FILE_BYTES = 1_000_000, 64 << 20
# A query takes one core at most, and waits for its turn rather than slow the pages down.
MAX_RUNNING, MAX_WAITING, MAX_WAIT_S = 2, 32, 10.0
STATUS = {"deadline": 504, "size": 413}


class QueryRunner:
    """The sandboxes of one site."""

    def __init__(self, folders: Folders, deadline_s: float = DEADLINE_S) -> None:
        self._pool = SandboxPool(folders)
        self.deadline_s = deadline_s
        self._turns = Turns("queries", MAX_RUNNING, MAX_WAITING, MAX_WAIT_S)
        self._threads = CapacityLimiter(MAX_RUNNING)

    async def page(self, sql: str) -> QueryRows:
        """Return rows as a page shows them. Raises what `SandboxPool.run` does, and Overloaded."""
        return await self._run(QueryRequest(sql, PAGE_ROWS, PAGE_BYTES, self.deadline_s))

    async def file(self, sql: str, max_rows: int = FILE_ROWS) -> QueryRows:
        """Return rows for a program or a file. Raises as `page` does."""
        max_rows = max(1, min(max_rows, FILE_ROWS))
        return await self._run(QueryRequest(sql, max_rows, FILE_BYTES, self.deadline_s))

    def unavailable(self) -> SandboxUnavailable | None:
        """Return why no query can run here; None where they can. Start a sandbox for the first."""
        unavailable = self._pool.unavailable()
        if unavailable is None:
            self._pool.warm()
        return unavailable

    def close(self) -> None:
        """End the sandboxes."""
        self._pool.close()

    async def _run(self, query: QueryRequest) -> QueryRows:
        async with self._turns.turn():
            rows = await to_thread.run_sync(self._pool.run, query, limiter=self._threads)
        log.debug("query: %d rows in %.0f ms", rows.rows.num_rows, rows.took_ms)
        return rows


def runner_of(state: State) -> QueryRunner:
    """Return the site's sandboxes, by the state of its application."""
    runner: QueryRunner = state.queries
    return runner


def _place(sql: str, at: int) -> str:
    """Return where a character is, as an editor says it: `line 2, character 5`."""
    before = sql[:at]
    return f"line {before.count(chr(10)) + 1}, character {at - before.rfind(chr(10))}"


def failure_text(sql: str, failed: SandboxFailed) -> str:
    """Return why a query failed, and where."""
    place = "" if failed.at is None else f"{_place(sql, failed.at)}: "
    return f"{place}{failed.message}"


async def rows_for_program(state: State, sql: str, max_rows: int = FILE_ROWS) -> QueryRows:
    """Run a query of a program. Raises HttpRejection, and what says that there is no lake."""
    if len(sql) > MAX_QUERY:
        raise HttpRejection(
            413, f"the query has {len(sql)} characters", f"shorten it to {MAX_QUERY}"
        )
    try:
        return await runner_of(state).file(sql, max_rows)
    except SandboxUnavailable as error:
        raise HttpRejection(501, error.message, error.remedy or "") from error
    except SandboxFailed as error:
        raise HttpRejection(
            STATUS.get(error.kind, 422), failure_text(sql, error),
            error.remedy or "correct the query",
        ) from error  # fmt: skip
