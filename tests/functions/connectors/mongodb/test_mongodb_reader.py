"""MongoDB reader against a real mongod: discovery, notes, change streams, and no writes."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from functions.connectors.incremental_read import IncrementalRead
from scripts.mongod import Mongod
from tests.conftest import NOW
from tests.functions.connectors.connector_contract import Chain, Contract, Rig
from tests.functions.connectors.mongodb.mongod_rig import MongodRig, document, source_text
from tests.functions.connectors.source_reads import read_all, rows_of, servers_of

STREAM = ("change_stream = true", 'every = "2s"')


class TestMongodb(Contract):
    @pytest.fixture
    def rig(self, secured: tuple[Mongod, Path], request: pytest.FixtureRequest) -> Rig:
        return MongodRig(*secured, request.node.name[:60])

    def test_an_empty_source_is_no_error_and_writes_nothing(self, rig: Rig, chain: Chain) -> None:
        run = chain.run_all(rig.text())
        assert (run.outcome, run.error) == ("nothing", None)
        assert "has no documents" in chain.house.one("SELECT refusals[1] FROM segments")
        assert not chain.samples()


def test_documents_become_rows_with_their_units(mongod, collection, open_read):
    collection.insert_one(document(mem_used_pct=45.2, swap_used_pct=0, disk_usage_pct="67% /data"))
    row = rows_of(open_read(source_text(mongod, collection.name)).run(NOW, None))[0]
    assert (row["server"], row["ts"]) == ("db1", NOW)
    assert (row["mem_used_pct"], row["swap_used_pct"]) == (pytest.approx(45.2), 0)
    assert (row["disk_usage_pct"], row.get("load_average")) == (67, None)


def test_a_bad_document_is_reported_and_does_not_delay_the_others(mongod, collection, open_read):
    read = open_read(source_text(mongod, collection.name))
    collection.insert_many([
        document(0, "good"),
        document(timestamp="unknown"),  # as text, larger than any time
        document(1, "half", cpu_user_pct="n/a", mem_used_pct=40.0),
        {"timestamp": NOW, "cpu_user_pct": 1.0},
        document(10**8, "ahead"),
    ])  # fmt: skip
    batch = read.run(NOW, None)
    collection.insert_one(document(5, "next"))
    assert {"good", "half"} <= set(servers_of(batch))
    assert servers_of(read.run(NOW + timedelta(seconds=5), batch.cursor)) == ["next"]
    reasons = " | ".join(batch.reasons)
    assert "'unknown'" in reasons
    assert "'n/a'" in reasons
    assert "server" in reasons


def test_times_that_do_not_sort_as_text_are_rejected_with_the_remedy(mongod, collection, open_read):
    collection.insert_one(document(timestamp="06.05.2026 12:00:00"))
    time = '[mapping.time]\nfield = "timestamp"\nformat = "%d.%m.%Y %H:%M:%S"\nzone = "UTC"'
    read = open_read(source_text(mongod, collection.name, time))
    with pytest.raises(ValueError, match="does not sort by time: name another field"):
        read.run(NOW, None)


def test_the_time_field_is_the_first_that_the_newest_document_has(mongod, collection, open_read):
    collection.create_index("when")
    collection.insert_one({"hostname": "a", "when": NOW, "cpu_user_pct": 1.0})
    time = '[mapping.time]\nfield = ["timestamp", "when"]'
    read = open_read(source_text(mongod, collection.name, time))
    assert servers_of(read.run(NOW, None)) == ["a"]


def test_an_empty_collection_is_reported_with_those_that_exist(mongod, collection, open_read):
    collection.insert_one(document())
    batch = open_read(source_text(mongod, "mistyped")).run(NOW, None)
    assert "monitoring.mistyped has no documents; collections are " in batch.reasons[0]
    assert collection.name in batch.reasons[0]


def test_a_time_field_without_an_index_is_reported(mongod, collection, open_read):
    collection.drop_indexes()
    collection.insert_one(document())
    batch = open_read(source_text(mongod, collection.name)).run(NOW, None)
    assert servers_of(batch) == ["db1"]
    assert "no index that begins with 'timestamp', so each poll reads the whole" in batch.reasons[0]


def test_nothing_is_ever_written_as_the_profile_of_the_server_shows(mongod, collection, open_read):
    database = collection.database
    collection.insert_one(document())
    before = set(collection.index_information())
    database.command("profile", 2)
    try:
        read = open_read(source_text(mongod, collection.name, *STREAM))
        _, cursor = read_all(read)
        collection.insert_one(document(1))
        read.run(NOW + timedelta(seconds=5), cursor)
        profile = database["system.profile"].find({"appName": "hoursight"})
        commands = {next(iter(each.get("command", {"?": 1}))) for each in profile}
    finally:
        database.command("profile", 0)
    assert "find" in commands
    assert commands <= {"find", "getMore", "aggregate", "listIndexes", "listCollections"}
    assert set(collection.index_information()) == before


def test_a_change_stream_hands_a_document_over_before_the_next_poll(mongod, collection, open_read):
    read = open_read(source_text(mongod, collection.name, *STREAM))
    collection.insert_one(document(0, "polled"))
    cursor = run_until(read, "polled", None)
    collection.insert_one(document(1, "pushed"))
    run_until(read, "pushed", cursor)


def test_a_change_stream_that_never_pauses_is_handed_over_in_parts(mongod, collection, open_read):
    read = open_read(source_text(mongod, collection.name, *STREAM))
    collection.insert_one(document(0, "polled"))
    cursor = run_until(read, "polled", None)
    stop = threading.Event()

    def insert_on() -> None:
        for i in range(10_000):
            collection.insert_one(document(1, f"s{i}"))
            if stop.is_set():
                return

    thread = threading.Thread(target=insert_on)
    thread.start()
    try:
        batch = read.run(NOW, cursor)
    finally:
        stop.set()
        thread.join()
    assert 0 < len(servers_of(batch)) < 5000  # less than a page


def run_until(read: IncrementalRead, server: str, cursor: str | None) -> str | None:
    """Run at one time, so that there is one poll, until the server comes; return the cursor."""
    for _ in range(5):
        batch = read.run(NOW, cursor)
        cursor = batch.cursor or cursor
        if server in servers_of(batch):
            return cursor
    raise AssertionError(f"{server} did not come")


def test_a_time_series_collection_is_polled_because_it_has_no_change_stream(
    mongod, collection, open_read
):
    name = collection.name + "_series"
    collection.database.create_collection(name, timeseries={"timeField": "timestamp"})
    collection.database[name].insert_one(document())
    batch = open_read(source_text(mongod, name, "change_stream = true")).run(NOW, None)
    assert servers_of(batch) == ["db1"]
    assert any("no change stream, polling instead" in reason for reason in batch.reasons)
