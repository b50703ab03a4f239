"""Files connector: the contract's cases, and forms, incomplete, damaged and large files."""

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import NOW, LakeFixture
from tests.functions.connectors.connector_contract import Chain, Contract, Rig, documents, expected

NO_SERVER = "a folder has no server to refuse, to encrypt or to be slow"
OLD_S = NOW.timestamp() - 60


def json_lines(path: Path, docs: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(d, default=str) + "\n" for d in docs))


def csv(path: Path, docs: list[dict[str, Any]]) -> None:
    names = list(docs[0])
    lines = [",".join(str(d.get(name, "")) for name in names) for d in docs]
    path.write_text("\n".join([",".join(names), *lines]) + "\n")


def parquet(path: Path, docs: list[dict[str, Any]]) -> None:
    pq.write_table(pa.Table.from_pylist(docs), path)


WRITERS: dict[str, Callable[[Path, list[dict[str, Any]]], None]] = {
    "jsonl": json_lines, "csv": csv, "parquet": parquet,
}  # fmt: skip


class FolderRig(Rig):
    """A folder that files are moved into."""

    cannot = MappingProxyType(
        {"refused_credentials": NO_SERVER, "refused_tls": NO_SERVER, "slow": NO_SERVER}
    )

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._count = 0

    def text(self, **connection: Any) -> str:
        keys = {"folder": str(self.folder)} | connection
        lines = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
        return f'kind = "files"\n[connection]\n{lines}\n'

    def put(self, docs: list[dict[str, Any]]) -> None:
        self._count += 1
        self.drop(f"{self._count:03}.jsonl", docs)

    def drop(self, name: str, docs: list[dict[str, Any]]) -> Path:
        path = self.folder / name
        WRITERS[name.rpartition(".")[2]](path, docs)
        os.utime(path, (OLD_S, OLD_S))
        return path

    def stop(self) -> None:
        self.folder.rename(self.folder.with_name("away"))
        self.folder.write_text("in its place")

    def start(self) -> None:
        self.folder.unlink()
        self.folder.with_name("away").rename(self.folder)


@pytest.fixture
def rig(tmp_path: Path) -> FolderRig:
    return FolderRig(tmp_path / "incoming")


class TestFiles(Contract):
    """The contract's cases for a folder."""


@pytest.mark.parametrize("form", WRITERS)
def test_every_form_is_read_and_moved_to_done(
    rig: FolderRig, house: LakeFixture, form: str
) -> None:
    docs, chain = documents(0, 10), Chain(house)
    path = rig.drop(f"history.{form}", docs)
    chain.run_all(rig.text())
    assert path.exists()  # its rows are not safe yet
    chain.run(rig.text())
    assert chain.samples() == expected(docs)
    assert (rig.folder / "done" / path.name).exists()
    assert not path.exists()


def test_a_file_that_is_still_written_is_read_once_it_no_longer_changes(
    rig: FolderRig, house: LakeFixture
) -> None:
    chain, path = Chain(house), rig.drop("slow.jsonl", documents(0, 5))
    os.utime(path, (NOW.timestamp() - 1, NOW.timestamp() - 1))
    (rig.folder / "other.jsonl.partial").write_text("{")
    os.utime(rig.folder / "other.jsonl.partial", (OLD_S, OLD_S))
    assert chain.run(rig.text()).outcome == "nothing"
    assert chain.run(rig.text(), NOW + timedelta(seconds=3)).outcome == "ok"


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.xlsx", b"PK", "'.xlsx': write .csv, .jsonl"),
        ("a.parquet", b"PAR1 and no more", "arquet"),
        ("a.csv", b"", "its first line must name the columns"),
        (
            "a.csv",
            b"server,load\na,1\n",
            "columns are load, server): name it in mapping.time.field",
        ),
        ("a.json", b"[1, 2", "not a list of JSON documents"),
    ],
)
def test_a_file_that_cannot_be_read_is_rejected_with_the_reason(
    rig: FolderRig, house: LakeFixture, name: str, content: bytes, reason: str
) -> None:
    chain, path = Chain(house), rig.folder / name
    path.write_bytes(content)
    os.utime(path, (OLD_S, OLD_S))
    rig.drop("good.csv", documents(0, 2))
    chain.run_all(rig.text())
    assert reason in (rig.folder / "rejected" / f"{name}.reason.txt").read_text()
    assert chain.samples() == expected(documents(0, 2))
    assert any(
        reason in r for r in house.one("SELECT refusals FROM segments WHERE rows_refused > 0")
    )


def test_damaged_lines_are_counted_and_the_others_kept(rig: FolderRig, house: LakeFixture) -> None:
    chain, path = Chain(house), rig.drop("a.jsonl", documents(0, 3))
    path.write_text(path.read_text() + '{"ts": \n[1]\n')
    os.utime(path, (OLD_S, OLD_S))
    run = chain.run_all(rig.text())
    assert chain.samples() == expected(documents(0, 3))
    assert run.batch.refused == 2
    assert "2 records left out, such as line 10 is not JSON" in run.batch.reasons[0]


def test_a_large_file_continues_where_a_restart_interrupted_it(
    rig: FolderRig, house: LakeFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.normalize.file_readers.CHUNK_ROWS", 7)
    monkeypatch.setattr("functions.connectors.incremental_read.MAX_DOCUMENTS", 10)
    docs, chain = documents(0, 20), Chain(house)
    rig.drop("a.jsonl", docs)
    rows = 0
    while True:
        run = chain.run(rig.text())
        rows += run.batch.rows["metrics"].num_rows
        chain = chain.restarted()
        if not run.batch.more:
            break
    house.commit()
    assert chain.samples() == expected(docs)
    assert rows == len(docs)  # nothing was read twice
