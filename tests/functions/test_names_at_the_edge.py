"""Each way in refuses an invalid name at once, says why, and takes what comes beside it."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

import hoursight
from functions.connectors.host import host
from functions.connectors.source_file import read_source
from functions.engine.function import function
from functions.engine.triggers import every
from functions.ingest.ingest_service import IngestService
from functions.ingest.remote_write import WriteRequest
from functions.normalize.mapper import Mapper
from functions.normalize.mapping import read_mapping
from functions.normalize.strict_toml import SourceInvalid
from functions.simulator.simulated_fleet import make_fleet
from storage.config.folders import Folders
from storage.ipc.push_protocol import Push
from storage.lake.writer import Writer
from storage.model.names import InvalidName, is_name
from tests.conftest import NOW
from tests.storage.model.test_names import HOSTILE

# A line feed ends a line of InfluxDB's, and white space inside ends its tags: it cannot arrive.
NAMES = {w: n for w, n in HOSTILE.items() if n.strip() and w not in ("a line feed",)}
UTF8 = {what: name for what, name in NAMES.items() if what != "a lone surrogate"}
NS, MS = int(NOW.timestamp() * 1e9), int(NOW.timestamp() * 1e3)

Servers = list[str | None]


def push(folders: Folders, kind: str, body: bytes, encoding: str = "identity") -> Any:
    service = IngestService(folders, clock=lambda: NOW)
    status, answer = service.handle(Push(kind, body, encoding).packed())
    return status, msgspec.json.decode(answer) if answer else None, service


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


def rows_of(folders: Folders) -> Iterator[dict[str, Any]]:
    for path in sorted(folders.inbox.glob("*.parquet")):
        yield from pa.parquet.ParquetFile(path).read().to_pylist()


def by_records(folders: Folders, names: list[str]) -> tuple[int, str]:
    records = [{"server": n, "ts": NOW.isoformat(), "load_average": 1} for n in names]
    status, told, _ = push(folders, "records", json.dumps(records).encode())
    return status, str(told)


def by_lines(folders: Folders, names: list[str]) -> tuple[int, str]:
    body = "\n".join(f"m,host={n.replace(' ', chr(92) + ' ')} load_average=1 {NS}" for n in names)
    status, told, service = push(folders, "lines", body.encode())
    for _ in range(2):
        service.buffers["influx"].flush()
    return status, str(told)


def by_remote_write(folders: Folders, names: list[str]) -> tuple[int, str]:
    request = WriteRequest()
    for name in names:
        series = request.timeseries.add()
        for label, value in (("__name__", "node_load1"), ("instance", name)):
            series.labels.add(name=label, value=value)
        series.samples.add(value=1.0, timestamp=MS)
    body = pa.compress(request.SerializeToString(), codec="snappy", asbytes=True)
    status, told, service = push(folders, "remote_write", body, "snappy")
    for _ in range(2):
        service.buffers["remote_write"].flush()
    return status, str(told)


PUSHES: dict[str, Callable[[Folders, list[str]], tuple[int, str]]] = {
    "records": by_records, "lines": by_lines, "remote write": by_remote_write,
}  # fmt: skip


@pytest.mark.parametrize("send", PUSHES.values(), ids=PUSHES)
@pytest.mark.parametrize("name", UTF8.values(), ids=UTF8)
def test_a_push_tells_of_the_name_and_takes_the_others(
    folders: Folders, send: Callable[[Folders, list[str]], tuple[int, str]], name: str
) -> None:
    status, told = send(folders, [name, "good"])
    assert status in (200, 400)
    assert "not a valid name (expected 1 to 253 printable characters)" in told
    assert [row["server"] for row in rows_of(folders)] == ["good"]


def test_a_pushed_name_is_trimmed(folders: Folders) -> None:
    assert by_records(folders, [" web 1\t"])[0] == 200
    assert [row["server"] for row in rows_of(folders)] == ["web 1"]


def test_a_record_with_a_hostile_site_is_taken_without_it(folders: Folders) -> None:
    record = {"server": "a", "ts": NOW.isoformat(), "load_average": 1, "profile": "database"}
    _, told, _ = push(folders, "records", json.dumps([record | {"site": "x\u202ey"}]).encode())
    assert told["accepted"] == 1
    assert "site: not a valid name" in told["reasons"][0]["reason"]
    facts = [row for row in rows_of(folders) if "site" in row]
    assert [(row["profile"], row["site"]) for row in facts] == [("database", None)]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_document_with_a_hostile_name_is_refused_alone(name: str) -> None:
    documents = [{"ts": NOW, "hostname": n, "load1": 1.0} for n in (name, " good ")]
    mapped = Mapper(read_mapping({}), "shop").map(documents)
    assert mapped.rows["server"].to_pylist() == mapped.facts["server"].to_pylist() == ["good"]
    [reason] = mapped.rejects.sentences()
    assert reason.startswith("server (field ")
    assert "not a valid name" in reason
    assert reason.isprintable()


def test_a_document_with_a_hostile_site_keeps_its_metrics() -> None:
    document = {"ts": NOW, "hostname": "a", "load1": 1.0, "site": "x\0y"}
    mapped = Mapper(read_mapping({}), "shop", site="fra").map([document])
    assert mapped.rows.num_rows == 1
    assert mapped.facts["site"].to_pylist() == ["fra"]
    assert "site (field site" in mapped.rejects.sentences()[0]


def test_a_source_file_with_a_hostile_site_is_refused(folders: Folders) -> None:
    text = b'kind = "files"\nsite = "x\\u202ey"\n[connection]\nfolder = "in"\n'
    with pytest.raises(SourceInvalid, match=r"site 'x\\u202ey' is not a valid name"):
        read_source("shop", text, folders)


def test_a_machine_with_a_hostile_host_name_says_how_to_set_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "a\x1b[2Jb")
    with pytest.raises(InvalidName, match=r"host name 'a\\x1b\[2jb' is not .* hostnamectl"):
        host.call(datetime.now(UTC), None)


def test_rows_of_a_function_with_hostile_names_are_left_out_and_told() -> None:
    @function(on=every("1m"), writes="server_facts")
    def census() -> pa.Table:
        at = pa.array([NOW] * 3, pa.timestamp("us", "UTC"))
        return pa.table({"server": ["a\0b", "good ", "c"], "ts": at, "site": ["x", "y", "\u202e"]})

    batch = census.batch(census.call())
    assert batch.rows["server_facts"]["server"].to_pylist() == ["good"]
    assert batch.refused == 2
    assert [reason[:20] for reason in batch.reasons] == [
        "server 'a\\x00b' is n",
        "site '\\u202e' is not",
    ]


def test_the_names_of_the_simulator_follow_the_rule() -> None:
    assert all(is_name(s.name) and is_name(s.site) for s in make_fleet(300, seed=1))


@pytest.mark.parametrize("name", ["a\nb", "a\u202eb", "a\udcffb", ""])
def test_the_command_to_delete_refuses_a_hostile_name(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Writer.open(tmp_path).close()
    with pytest.raises(SystemExit):
        hoursight.main(["delete", name, "--yes", "--data", str(tmp_path)])
    assert "is not a valid name" in capsys.readouterr().err
