import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.model.schema import table
from storage.model.views import VIEWS, View, as_of_now
from tests.conftest import NOW, LakeFixture

ROOT = Path(__file__).parents[3]
OURS = ("storage", "web", "functions", "scripts")
CLOCK = re.compile(
    r"\b(now|today|get_current_timestamp|transaction_timestamp)\(\)|\bcurrent_(timestamp|date)\b",
    re.IGNORECASE,
)
# One hour of scores, in which each sum is 1.
SCORE = dict.fromkeys(table("scores").names, 1) | {
    "server": "a", "metric": "load_average", "bucket": 60, "model": "m", "shadow": 0,
    "replayed": True,
}  # fmt: skip
# The text that makes a view of the present out of a query about a given time, and queries that run
# as people write them: examples of the SQL page and tools of assistants.
PRESENT = {
    ROOT / "storage" / "model" / "views.py",
    ROOT / "web" / "assistant_tools.py",
    ROOT / "web" / "display" / "schema_browser.py",
}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_has_its_documented_columns(house: LakeFixture, view: View) -> None:
    shown = house.reader.query(f"FROM {view.name} LIMIT 0").schema
    assert [(f.name, f.type) for f in shown] == [(c.name, c.type) for c in view.columns]


def test_every_view_of_the_lake_is_documented(house: LakeFixture) -> None:
    names = house.reader.query("SELECT view_name FROM duckdb_views() WHERE database_name = 'lake'")
    assert set(names["view_name"].to_pylist()) == {view.name for view in VIEWS}
    assert all(column.meaning for view in VIEWS for column in view.columns)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_is_its_query_as_of_the_present(house: LakeFixture, view: View) -> None:
    now = datetime.now(UTC)
    house.put("server_facts", [{"server": "a", "ts": now, "profile": "generic"}])
    house.put("metrics", [{"server": "a", "ts": now, "load_average": 1.0}])
    house.put("risks", [{"server": "a", "issued_at": now, "score": 3.0}])
    house.put("scores", [SCORE | {"ts": now}])
    house.put("forecasts", [
        {
            "server": "a", "metric": "load_average", "issued_at": now - timedelta(minutes=9),
            "made_at": now, "state": "ok", "p50": [1.0] * 96,
        },
        {
            "server": "a", "metric": "mem_used_pct", "issued_at": now - timedelta(minutes=9),
            "made_at": now, "model": "m", "state": "abstained", "why": "no skill: none",
        },
    ])  # fmt: skip
    episode = {"episode": "e", "server": "a", "metric": "load_average", "rule": "breach"}
    house.put("alert_events", [
        episode | {"ts": now, "event": "opened", "phase": "breached", "state": "{}"}
    ])  # fmt: skip
    house.put("models", [{"ts": now, "event": "serving", "model": "m", "path": "shipped"}])
    house.commit(now)
    shown = house.reader.query(f"SELECT * FROM {view.name} ORDER BY ALL")
    sql = as_of_now(f"SELECT * FROM {{{view.name}}} AS v ORDER BY ALL")
    given = {"now": datetime.now(UTC)} if "$now" in sql else {}
    as_of = house.reader.query(sql, **given)
    assert as_of.num_rows
    if "age_seconds" in shown.column_names:  # a second may have begun in between
        shown, as_of = (rows.drop_columns(["age_seconds"]) for rows in (shown, as_of))
    assert as_of == shown


def test_no_sql_of_ours_looks_at_the_clock() -> None:
    texts = [
        path for room in OURS for kind in ("*.sql", "*.py", "*.txt")
        for path in (ROOT / room).rglob(kind) if path not in PRESENT
    ]  # fmt: skip
    assert len(texts) > 100
    assert [str(path) for path in texts if CLOCK.search(path.read_text())] == []


def test_the_model_that_was_live_at_a_time_is_one_select(house: LakeFixture) -> None:
    hour = timedelta(hours=1)
    events = [
        (-9, "serving", "m0", "shipped", None), (-5, "promoted", "m1", "a.onnx", "better"),
        (-4, "serving", "m1", "a.onnx", None), (-3, "rolled back", "m0", "shipped", "by a person"),
        (-2, "serving", "m0", "shipped", None), (-1, "refused", None, "b.onnx", "damaged"),
    ]  # fmt: skip
    house.put("models", [
        {"ts": NOW + n * hour, "event": event, "model": model, "path": path, "detail": detail}
        for n, event, model, path, detail in events
    ])  # fmt: skip
    house.commit()
    rows = house.reader.query("SELECT * FROM model_history ORDER BY live_from").to_pylist()
    assert [row["model"] for row in rows] == ["m0", "m1", "m0"]
    assert [row["live_until"] for row in rows] == [NOW - 4 * hour, NOW - 2 * hour, NOW - hour]
    assert [row["why"] for row in rows] == [
        "the model of the package", "promoted: better", "rolled back: by a person"
    ]  # fmt: skip
    then = house.reader.query(
        "SELECT model FROM model_history WHERE live_from <= $at AND "
        "live_until > $at", at=NOW - 3.5 * hour,
    )  # fmt: skip
    assert then["model"].to_pylist() == ["m1"]
