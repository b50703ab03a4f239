"""Pushes of servers that were deleted, at each door: refused by name, stored by pseudonym."""

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.ingest.deleted_senders import drop_rows
from functions.ingest.ingest_service import IngestService
from functions.ingest.remote_write import WriteRequest
from storage.config.deleted_servers import DeletedServers, record_deleted
from storage.config.folders import Folders
from storage.config.sample_settings import DeletionSettings
from storage.config.settings import Settings, write_settings
from storage.inbox.segment import provenance_of
from storage.ipc.push_protocol import Push
from storage.model.names import erased_name
from tests.conftest import NOW

SERVERS = ("web-1", "web-10")


def records() -> bytes:
    return json.dumps(
        [{"server": s, "ts": NOW.isoformat(), "mem_used_pct": 5, "site": "fra"} for s in SERVERS]
    ).encode()


def line_protocol() -> bytes:
    ns = int(NOW.timestamp()) * 10**9
    return "\n".join(f"mem,host={s} used_percent=5 {ns}" for s in SERVERS).encode()


def remote_write() -> bytes:
    request = WriteRequest()
    for server in SERVERS:
        series = request.timeseries.add()
        series.labels.add(name="__name__", value="node_load1")
        series.labels.add(name="instance", value=f"{server}:9100")
        series.samples.add(value=1.0, timestamp=int(NOW.timestamp() * 1000))
    return bytes(pa.compress(request.SerializeToString(), codec="snappy", asbytes=True))


DOORS = [
    ("records", records, "identity", 200), ("lines", line_protocol, "identity", 400),
    ("remote_write", remote_write, "snappy", 400),
]  # fmt: skip


def service(folders: Folders, returning: str) -> IngestService:
    folders.create()
    record_deleted(folders, {erased_name("web-1"): NOW})
    write_settings(folders.data, Settings(deletions=DeletionSettings(returning)))
    return IngestService(folders, clock=lambda: NOW)


def stored(folders: Folders, service: IngestService) -> str:
    """The rows and reasons that were written, as text."""
    for buffer in service.buffers.values():
        buffer.flush()
        buffer.flush()
    paths = list(folders.inbox.glob("*.parquet"))
    return str([(pq.read_table(p).to_pylist(), provenance_of(p).reasons) for p in paths])


@pytest.mark.parametrize(("kind", "body", "encoding", "status"), DOORS)
def test_a_deleted_server_is_refused_by_name_and_the_others_are_taken(
    tmp_path: Path, kind: str, body: Callable[[], bytes], encoding: str, status: int
) -> None:
    folders = Folders.at(tmp_path)
    ingest = service(folders, "refuse")
    answer = ingest.handle(Push(kind, body(), encoding, {}, "").packed())
    assert answer[0] == status
    text = answer[1].decode()
    assert "the server was deleted here" in text
    assert '"web-1"' in text
    kept = stored(folders, ingest)
    assert "'web-10'" in kept
    assert "'web-1'" not in kept
    assert f"as {erased_name('web-1')} (once)" in kept


@pytest.mark.parametrize(("kind", "body", "encoding"), [door[:3] for door in DOORS])
def test_a_deleted_server_is_accepted_where_the_settings_do_not_refuse_it(
    tmp_path: Path, kind: str, body: Callable[[], bytes], encoding: str
) -> None:
    folders = Folders.at(tmp_path)
    ingest = service(folders, "accept")
    answer = ingest.handle(Push(kind, body(), encoding, {}, "").packed())
    assert answer[0] in (200, 204)
    assert "'web-1'" in stored(folders, ingest)


def test_rows_of_others_stay(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    record_deleted(folders, {erased_name("web-1"): NOW})
    rows = pa.table({"server": ["web-1", "web-10", "web-1"], "n": [1, 2, 3]})
    kept, gone = drop_rows(DeletedServers(folders, DeletionSettings("refuse")), rows)
    assert (kept["n"].to_pylist(), gone) == ([2], {"web-1": 2})
