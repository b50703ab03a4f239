"""Sandboxes: what they answer, refuse and survive."""

import hashlib
import time
from pathlib import Path

import pytest

from storage.config.folders import Folders
from storage.errors import LakeMissing
from storage.sandbox.frames import QueryRequest
from storage.sandbox.sandbox_pool import SandboxPool
from storage.sandbox.sandbox_process import SandboxFailed, SandboxUnavailable
from tests.storage.sandbox import hostile_queries

SERVERS = "SELECT server FROM metrics ORDER BY ALL"


def request(sql: str, deadline_s: float = 60.0, max_rows: int = 100) -> QueryRequest:
    return QueryRequest(sql, max_rows, 1 << 20, deadline_s)


def answer(pool: SandboxPool, sql: str, **limits: float) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = pool.run(request(sql, **limits)).rows.to_pylist()  # type: ignore[arg-type]
    return rows


def hashes(folder: Path) -> dict[str, str]:
    """The hash of every file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def kind_of(pool: SandboxPool, sql: str) -> str:
    """How a query of the corpus ends."""
    heavy = sql in hostile_queries.TOO_MUCH
    try:
        pool.run(request(sql, deadline_s=0.25 if heavy else 60.0))
    except SandboxFailed as error:
        return error.kind if error.message else "without words"
    return "answered"


@pytest.mark.timeout(300)
def test_every_hostile_query_is_refused_or_stopped_and_changes_no_byte(
    pool: SandboxPool, sandbox_lake: Folders, tmp_path: Path
) -> None:
    (sandbox_lake.data / "keys.json").write_text("secret")
    assert len(answer(pool, SERVERS)) == 3
    before, out = hashes(sandbox_lake.data), tmp_path / "out"
    corpus = [
        sql.replace("{data}", str(sandbox_lake.data)).replace("{out}", str(out))
        for sql in hostile_queries.ALL
    ]
    assert len(set(corpus)) >= 100
    ends = {sql: kind_of(pool, sql) for sql in corpus}
    assert [sql[:200] for sql, kind in ends.items() if kind == "answered"] == []
    assert "without words" not in ends.values()
    assert {ends[sql] for sql in hostile_queries.TOO_MUCH} == {"deadline"}
    assert len(answer(pool, SERVERS)) == 3
    assert hashes(sandbox_lake.data) == before
    assert not out.exists()


def test_the_rows_of_a_query_come_as_arrow(pool: SandboxPool) -> None:
    assert answer(pool, SERVERS) == [{"server": "a"}, {"server": "b"}, {"server": "c"}]


def test_rows_beyond_the_cap_are_left_out_and_it_says_so(pool: SandboxPool) -> None:
    result = pool.run(request("FROM range(100000000000)", max_rows=7))
    assert (result.rows.num_rows, result.truncated) == (7, True)
    assert not pool.run(request("FROM range(7)", max_rows=7)).truncated


def test_a_query_is_stopped_at_its_deadline_and_the_next_one_runs(pool: SandboxPool) -> None:
    began = time.monotonic()
    with pytest.raises(SandboxFailed, match=r"stopped after 0\.2 s"):
        pool.run(request(hostile_queries.TOO_MUCH[0], deadline_s=0.2))
    assert time.monotonic() - began < 0.2 + 0.5 + 10  # a busy machine: the exact bound is measured
    assert len(answer(pool, SERVERS)) == 3


def test_an_error_names_its_place(pool: SandboxPool) -> None:
    for sql in ("SELECT 'ä', nope FROM metrics", "EXPLAIN SELECT 'ä', nope FROM metrics"):
        with pytest.raises(SandboxFailed, match="nope") as caught:
            pool.run(request(sql))
        assert caught.value.at == sql.index("nope")


def test_a_pivot_takes_its_columns_from_the_data(pool: SandboxPool) -> None:
    rows = answer(pool, "PIVOT metrics ON server USING count(*)::INTEGER GROUP BY mem_used_pct")
    assert rows == [{"mem_used_pct": 10.5, "a": 1, "b": 1, "c": 1}]


def test_without_a_lake_nothing_is_created(tmp_path: Path) -> None:
    pool = SandboxPool(Folders.at(tmp_path))
    with pytest.raises(LakeMissing):
        pool.run(request("SELECT 1"))
    pool.close()
    assert not list(tmp_path.iterdir())


def test_a_catalog_in_postgresql_switches_queries_off_in_words(tmp_path: Path) -> None:
    (tmp_path / "hoursight.toml").write_text(
        f'[lake]\ncatalog = "postgres:dbname=x"\ndata_path = "{tmp_path}"\n'
    )
    pool = SandboxPool(Folders.at(tmp_path))
    with pytest.raises(SandboxUnavailable, match="PostgreSQL"):
        pool.run(request("SELECT 1"))
    pool.close()
