"""MongoDB reader against a real mongod: discovery, notes, change streams, and no writes."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId, Timestamp

import hoursight
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


def times_of(make: Any) -> list[Any]:
    return [make(NOW - timedelta(seconds=s)) for s in (40, 20, 0)]


def bson_timestamp(ts: Any) -> Timestamp:
    return Timestamp(int(ts.timestamp()), 1)


TIMES_AND_SERVERS = '[mapping.time]\nfield = "{}"\n[mapping.server]\nfield = "{}"'
BUCKETS = """unwind = "samples"
[mapping.time]
field = "samples.ts"
[mapping.metrics]
cpu_user_pct = {{ field = "samples.cpu" }}"""


@pytest.mark.parametrize(
    ("documents", "mapping"),
    [
        ([{"ts": ts, "host": "a"} for ts in times_of(bson_timestamp)], ""),
        (
            [{"_id": ts, "host": "a"} for ts in times_of(ObjectId.from_datetime)],
            TIMES_AND_SERVERS.format("_id", "host"),
        ),
        (
            [{"_id": {"ts": ts, "host": "a"}} for ts in times_of(lambda ts: ts)],
            TIMES_AND_SERVERS.format("_id.ts", "_id.host"),
        ),
    ],
    ids=["BSON timestamp", "object id", "compound _id"],
)
def test_every_kind_of_time_is_read_and_resumed(mongod, collection, open_read, documents, mapping):
    collection.insert_many([each | {"cpu_user_pct": 5.0} for each in documents[:2]])
    read = open_read(source_text(mongod, collection.name, mapping))
    first, cursor = read_all(read)
    collection.insert_one(documents[2] | {"cpu_user_pct": 5.0})
    again = open_read(source_text(mongod, collection.name, mapping))  # after a restart
    second, _ = read_all(again, cursor, NOW + timedelta(seconds=5))
    whole = NOW.replace(microsecond=0)
    expected = [("a", whole - timedelta(seconds=s)) for s in (40, 20, 0)]
    assert [(row["server"], row["ts"]) for row in first] == expected[:2]
    assert {(row["server"], row["ts"]) for row in second} == set(expected)  # the overlap again


@pytest.mark.parametrize("indexed", [True, False])
def test_the_elements_of_buckets_are_samples_also_those_that_come_later(
    mongod, collection, open_read, indexed
):
    samples = [{"ts": ts, "cpu": 5.0} for ts in times_of(lambda ts: ts)]
    if indexed:
        collection.create_index("samples.ts")
    collection.insert_many([{"hostname": s, "samples": samples[:2]} for s in ("a", "b")])
    read = open_read(source_text(mongod, collection.name, BUCKETS.format()))
    first, cursor = read_all(read)
    collection.update_many({}, {"$push": {"samples": samples[2]}})
    second, _ = read_all(read, cursor, NOW + timedelta(seconds=5))
    assert sorted((row["server"], row["cpu_user_pct"]) for row in first) == [
        ("a", 5), ("a", 5), ("b", 5), ("b", 5),
    ]  # fmt: skip
    assert [(row["server"], row["ts"]) for row in second] == [("a", NOW), ("b", NOW)]


@pytest.mark.parametrize(
    ("fields", "mapping", "says"),
    [
        ({}, "", "no document of .* has a time in 'timestamp' or .*'_id' holds the time of the"),
        (
            {"samples": [{"timestamp": NOW}]}, "",
            "samples .array of 1.: write unwind = 'samples' in .connection. and field = 'samples.t",
        ),
        (
            {"samples": [{"when": NOW}]}, '[mapping.time]\nfield = "samples[0].when"',
            "the time 'samples.when' lies in the array 'samples': write unwind = 'samples'",
        ),
        ({"timestamp": True}, "", "has a time in 'timestamp' or .*timestamp .bool."),
    ],
)  # fmt: skip
def test_a_collection_without_a_time_that_can_be_read_says_so_with_the_remedy(
    mongod, collection, open_read, fields, mapping, says
):
    collection.insert_one({"hostname": "a", "cpu_user_pct": 5.0} | fields)
    with pytest.raises(ValueError, match=says):
        open_read(source_text(mongod, collection.name, mapping)).run(NOW, None)


def test_mixed_kinds_of_time_are_read_without_an_index_and_the_others_named(
    mongod, collection, open_read
):
    collection.drop_indexes()
    collection.insert_many([
        document(0, "date"), document(0, "text", timestamp=NOW.isoformat()),
        document(0, "bson", timestamp=bson_timestamp(NOW)), document(0, "list", timestamp=[NOW]),
        document(0, "ms", timestamp=NOW.timestamp() * 1000), {"hostname": "none"},
    ])  # fmt: skip
    read = open_read(source_text(mongod, collection.name))
    batch = read.run(NOW, None)
    notes = batch.reasons
    assert servers_of(batch) == ["bson", "date", "text"]
    assert any("holds 'timestamp' as a number: write one of epoch_s" in note for note in notes)
    assert "1 document skipped: 'timestamp' holds array, expected a time" in notes
    assert "1 document skipped: 'timestamp' is missing, expected a time" in notes
    collection.insert_one({"hostname": "a", "timestamp": True})  # and a kind that comes later
    later = read.run(NOW + timedelta(minutes=1), batch.cursor)
    assert later.reasons == ("1 document skipped: 'timestamp' holds bool, expected a time",)
    assert later.cursor not in (None, batch.cursor)  # so that a segment carries it


def test_the_command_shows_a_collection_without_an_index_and_what_is_wrong_with_another(
    mongod, collection, tmp_path, capsys
):
    collection.drop_indexes()
    file = tmp_path / "shop.toml"
    file.write_text(source_text(mongod, collection.name, head='history = "9000d"'))

    def output(document_: dict[str, Any]) -> tuple[int, str]:
        collection.delete_many({})
        collection.insert_one(document_)
        with pytest.raises(SystemExit) as end:
            hoursight.main(["sources", "--data", str(tmp_path), "test", str(file)])
        return int(end.value.code or 0), "".join(capsys.readouterr())

    code, text = output(document())
    assert code == 0
    assert "has no index that begins with 'timestamp'" in text
    assert "1 documents, 1 rows" in text
    code, text = output({"hostname": "a"})
    assert code == 1
    assert "the newest has _id (object id), hostname (text)" in text


def test_a_view_is_read_and_no_index_is_demanded_of_it(mongod, collection, open_read):
    name = collection.name + "_view"
    collection.database.create_collection(name, viewOn=collection.name, pipeline=[])
    collection.insert_many([document(), document(server="b", timestamp=NOW.isoformat())])
    batch = open_read(source_text(mongod, name)).run(NOW, None)
    assert (servers_of(batch), batch.reasons) == (["b", "db1"], ())
    collection.database.drop_collection(name)


def test_documents_of_one_server_and_time_are_all_handed_over(mongod, collection, open_read):
    collection.insert_many([
        document(cpu_user_pct=5.0),
        {"hostname": "db1", "timestamp": NOW, "mem_used_pct": 60.0},
    ])  # fmt: skip
    rows = rows_of(open_read(source_text(mongod, collection.name)).run(NOW, None))
    assert [(row["cpu_user_pct"], row["mem_used_pct"]) for row in rows] == [(5, None), (None, 60)]


def test_a_document_that_is_written_again_with_a_new_time_is_a_new_sample(
    mongod, collection, open_read
):
    collection.insert_one(document(0) | {"_id": "db1"})
    read = open_read(source_text(mongod, collection.name))
    _, cursor = read_all(read)
    collection.replace_one({"_id": "db1"}, document(5))
    second, _ = read_all(read, cursor, NOW + timedelta(seconds=5))
    assert [row["ts"] for row in second] == [NOW + timedelta(seconds=5)]


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
    assert not any("has no index" in reason for reason in batch.reasons)
