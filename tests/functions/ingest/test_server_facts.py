"""Facts of servers: written when they change, and only what is stated."""

from datetime import UTC, datetime

from functions.ingest.server_facts import ServerFact, ServerFacts


def test_facts_are_rows_until_they_are_remembered() -> None:
    facts, stated = ServerFacts(), {"a": ServerFact(1_000_000, "database", "fra", 8)}
    for _ in range(2):  # a write that failed is tried again
        [row] = facts.changed(stated)["server_facts"].to_pylist()
    assert row == {
        "server": "a", "ts": datetime.fromtimestamp(1, UTC), "profile": "database", "site": "fra",
        "cores": 8, "disk_volume": None, "net_links": None,
    }  # fmt: skip
    facts.remember(stated)
    assert facts.changed(stated) == {}


def test_a_later_time_alone_is_no_change() -> None:
    facts = ServerFacts()
    facts.remember({"a": ServerFact(1, "database")})
    assert facts.changed({"a": ServerFact(2, "database")}) == {}
    assert facts.changed({"a": ServerFact(2, "database", cores=4)})


def test_a_profile_that_is_not_stated_stays_open_whatever_the_name() -> None:
    stated = {"ppdb1": ServerFact(1, None, "fra"), "ppdb2": ServerFact(1, "frontend", "fra")}
    rows = ServerFacts().changed(stated)["server_facts"]
    assert rows["profile"].to_pylist() == [None, None]
