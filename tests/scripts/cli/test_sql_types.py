"""Every SQL type in every format of `hoursight sql`: what is printed is read back as the same."""

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import hoursight

# Besides the columns of test_all_types(), which have the least and the largest value, and NULL.
MORE = {
    "nulls": "NULL",
    "texts": "$$a 'b' \"c\" \\x00, ä\n$$",
    "json": """'{"a": [1, null]}'::JSON""",
    "variant": "{'a': DATE '2026-05-06', 'b': [1.5]}::VARIANT",
    "type_of": "get_type(1)",
    "sums": "sum(1::BIGINT) OVER ()",
    "huge": "170141183460469231731687303715884105727::UHUGEINT + 1",
    "fraction": "1.50::DECIMAL(5, 3)",
    "small": "0.0000001::DECIMAL(9, 7)",
    "not_a_number": "'nan'::FLOAT",
    "infinite": "'-infinity'::DOUBLE",
    "never": "'infinity'::TIMESTAMP",
    "never_s": "'-infinity'::TIMESTAMP_S",
    "never_date": "'infinity'::DATE",
    "micros": "TIMESTAMPTZ '2026-05-06 12:00:30.000250+02:00'",
    "nanos": "'2026-05-06 12:00:30.123456789'::TIMESTAMP_NS",
    "before_1970": "TIMESTAMP '1969-12-31 23:59:59.5'",
    "caesar": "DATE '0044-03-15 (BC)'",
    "clock": "TIME '12:34:56.000001'",
    "clock_ns": "'12:34:56.000000001'::TIME_NS",
    "ago": "TIMESTAMP '2026-05-06' - TIMESTAMP '2026-05-07 00:00:00.25'",
    "months": "INTERVAL '-14 months 3 days'",
    "bytes": "'\\x5C\\x22\\x27\\xFF a'::BLOB",
    "no_bytes": "''::BLOB",
    "days": "[DATE '2026-05-06', NULL, 'infinity'::DATE]",
    "by_day": "MAP {DATE '2026-05-06': 1.5, DATE '2026-05-07': NULL}",
    "bits": "{'list': ['10'::BIT, NULL], 'map': MAP {1: 5::UHUGEINT}}",
    "either": "union_value(at := TIMETZ '12:00:00+02:00')",
    "spans": "[INTERVAL '1 day']",
    "pair": "row(1, 'b')",
    "vectors": "[[1, 2], NULL]::INTEGER[2][]",
}
SQL = "SELECT *, " + ", ".join(f"{v} AS {n}" for n, v in MORE.items()) + " FROM test_all_types()"

with duckdb.connect() as connection:
    KINDS = {name: kind for name, kind, *_ in connection.execute(SQL).description}
NESTED = {n for n, k in KINDS.items() if k.id in ("list", "array", "map", "struct", "union")}

# What the engine does not read from text: a VARIANT, a TYPE, a BIT in JSON, a struct without names.
AS_TEXT = {
    "variant": '{"a":"2026-05-06","b":[1.5]}',
    "type_of": "INTEGER",
    "bits": '{"list": ["10", null], "map": {"1": "5"}}',
    "pair": '[1, "b"]',
}
ROWS = 3
AS_PARQUET = {
    "variant": ROWS * [AS_TEXT["variant"]],
    "type_of": ROWS * ["INTEGER"],
    "bits": ROWS * ["{'list': [10, NULL], 'map': {1=5}}"],
    "pair": ROWS * ["(1, b)"],
    # The engine reads nanoseconds of a time as microseconds.
    "time_ns": ["00:00:00", "24:00:00", None],
    "clock_ns": ROWS * ["12:34:56"],
}

Engine = duckdb.DuckDBPyConnection
Print = Callable[[str, str], bytes]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """A connection that has the values in its view `expected`."""
    with duckdb.connect() as engine:
        engine.execute(f"SET TimeZone = 'UTC'; CREATE VIEW expected AS {SQL}")
        yield engine


@pytest.fixture(scope="module")
def prints(empty_lake: Path, tmp_path_factory: pytest.TempPathFactory) -> Print:
    """What `hoursight sql` prints for a statement in a format."""
    data = tmp_path_factory.mktemp("types") / "var"
    shutil.copytree(empty_lake, data)

    def run(form: str, statement: str) -> bytes:
        out = io.BytesIO()
        with redirect_stdout(io.TextIOWrapper(out, "utf-8", write_through=True)) as text:
            hoursight.main(["sql", "--data", str(data), "--format", form, statement])
            text.detach()  # it would close `out`
        return out.getvalue()

    return run


@pytest.fixture(scope="module")
def as_json(prints: Print) -> list[dict[str, str]]:
    """The rows, each value as the JSON that was printed."""
    line = msgspec.json.Decoder(dict[str, msgspec.Raw])
    rows = [line.decode(row) for row in prints("json", SQL).splitlines()]
    return [{name: bytes(raw).decode() for name, raw in row.items()} for row in rows]


@pytest.fixture(scope="module")
def as_csv(prints: Print) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(prints("csv", SQL).decode(), newline="")))


@pytest.fixture(scope="module")
def as_parquet(prints: Print, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("types") / "all.parquet"
    file.write_bytes(prints("parquet", SQL))
    return file


def check(engine: Engine, name: str, texts: list[str | None]) -> None:
    """The texts are read back as the values of the column."""
    read = "text::JSON" if name in NESTED else "text"
    same = engine.execute(
        f'SELECT (SELECT list("{name}") FROM expected) IS NOT DISTINCT FROM '
        f"(SELECT list(CAST({read} AS {KINDS[name]})) FROM unnest($texts::VARCHAR[]) AS t(text))",
        {"texts": texts},
    ).fetchone()
    assert same == (True,), texts


def test_no_type_of_the_engine_is_left_out(engine: Engine) -> None:
    rows = engine.execute(
        "SELECT DISTINCT logical_type FROM duckdb_types() WHERE database_name = 'system'"
    ).fetchall()
    known = {str(kind.id).upper() for kind in KINDS.values()} | {'"NULL"', "NULL"}
    assert {name for (name,) in rows} <= known


@pytest.mark.parametrize("name", KINDS)
def test_json_has_every_value(engine: Engine, as_json: Any, name: str) -> None:
    values = [row[name] for row in as_json]
    texts = [json.loads(v) if v[0] == '"' else None if v == "null" else v for v in values]
    if name in AS_TEXT:
        assert texts == ROWS * [AS_TEXT[name]]
    else:
        check(engine, name, texts)


@pytest.mark.parametrize("name", KINDS)
def test_csv_has_every_value(engine: Engine, as_csv: Any, name: str) -> None:
    texts = [row[name] for row in as_csv]
    if name in AS_TEXT:
        assert texts == ROWS * [AS_TEXT[name]]
    else:
        check(engine, name, [None if text == "" and name != "no_bytes" else text for text in texts])


@pytest.mark.parametrize("name", KINDS)
def test_parquet_has_every_value(engine: Engine, as_parquet: Path, name: str) -> None:
    file = f"FROM '{as_parquet}'"
    texts = [text for (text,) in engine.execute(f'SELECT "{name}"::VARCHAR {file}').fetchall()]
    (kind,) = engine.execute(f'SELECT typeof("{name}") {file}').fetchone()
    if name in AS_PARQUET:
        assert texts == AS_PARQUET[name]
    elif kind == "VARCHAR":
        check(engine, name, texts)
    else:
        same = engine.execute(
            f'SELECT (SELECT list("{name}") FROM expected) IS NOT DISTINCT FROM '
            f'(SELECT list("{name}"::{KINDS[name]}) {file})'
        ).fetchone()
        assert same == (True,)


def test_parquet_keeps_nanoseconds_of_a_time(as_parquet: Path) -> None:
    times = pq.read_table(as_parquet, columns=["clock_ns"])["clock_ns"]
    assert times.cast(pa.int64())[0].as_py() % 1000 == 1


def test_a_table_shows_every_type(prints: Print) -> None:
    out = prints("table", SQL).decode()
    assert out.endswith(f"{ROWS} rows\n")
    shown = (
        "2026-05-06 10:00:30.00025Z", "0044-03-15 (BC)", "-infinity", "-14 months 3 days", "1.500",
        "\\x5C\\x22\\x27\\xFF a", '{"1": "5"}', "12:34:56.000000001",
    )  # fmt: skip
    assert [text for text in shown if text not in out] == []


def test_sums_are_whole_numbers_in_json(prints: Print) -> None:
    assert prints("json", "SELECT sum(i) AS n FROM range(3) t(i)") == b'{"n": 3}\n'


def test_columns_of_one_name_are_told_apart(prints: Print) -> None:
    twice = "SELECT 1 AS a, 2 AS a, 3 AS a_1"
    assert json.loads(prints("json", twice)) == {"a": 1, "a_1": 2, "a_1_1": 3}
    names = pq.read_table(pa.BufferReader(prints("parquet", twice))).column_names
    assert names == ["a", "a_1", "a_1_1"]
    assert prints("csv", twice).splitlines()[1] == b"1,2,3"
