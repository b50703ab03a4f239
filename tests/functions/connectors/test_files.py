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

from functions.connectors.connector import ReadOptions
from functions.connectors.files import FolderConnection, connect
from functions.connectors.real_folder import RealFolder
from functions.normalize.columns import as_list, columns_of
from functions.normalize.mapping import Time
from storage.config.folders import Folders
from storage.model.reject_log import RejectLog
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


def line(minute: int, server: str = "a") -> str:
    return f"2026-05-06T11:{minute:02}:00Z,{server},{minute}\n"


class Folder:
    """A watched folder and its position, polled at times that the test says."""

    def __init__(self, path: Path, mapping: str = "one") -> None:
        self.path = path
        path.mkdir(exist_ok=True)
        self.position: Any = None
        self.restart(mapping)

    def restart(self, mapping: str = "one") -> None:
        options = ReadOptions("shop", Folders.at(self.path), Time("timestamp"), (), reader=mapping)
        self._connector = connect(FolderConnection(str(self.path)), options)

    def poll(self, seconds: float = 0) -> list[int]:
        """The values of the records that a poll so many seconds after NOW hands over."""
        values: list[int] = []
        self.notes: list[str] = []
        for page in self._connector.pages(self.position, NOW + timedelta(seconds=seconds)):
            column = columns_of(page.documents).get("cpu_user_pct")
            values += [int(v) for v in as_list(column)] if column is not None else []
            self.notes += page.notes
            if page.on_mapped:
                page.on_mapped(len(page.documents), RejectLog())
            self.position = json.loads(json.dumps(page.position))
        return values

    def write(self, name: str, text: str, mode: str = "a", at_s: float = 0) -> Path:
        """Write a file as of so many seconds after NOW."""
        with (self.path / name).open(mode) as file:
            file.write(text)
        os.utime(self.path / name, (NOW.timestamp() + at_s,) * 2)
        return self.path / name

    def names(self) -> set[str]:
        files = (path for path in self.path.rglob("*") if path.is_file())
        return {str(path.relative_to(self.path)) for path in files}


CSV_HEADER = "timestamp,server,cpu_user_pct\n"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "drop")


def test_every_line_of_a_writer_that_keeps_its_file_open_is_read_once(folder: Folder) -> None:
    values = []
    with folder.write("a.csv", CSV_HEADER).open("a") as writer:
        for minute in range(4):
            writer.write(line(minute)[:12])
            writer.flush()
            assert folder.poll(100 * minute) == []
            writer.write(line(minute)[12:])
            writer.flush()
            values += folder.poll(100 * minute + 5)
            assert len(values) == minute + 1
            folder.restart()
        folder.poll(700)
        assert folder.names() == {"a.csv"}  # quiet for more than a minute, and still open
    values += folder.poll(1000) + folder.poll(1001)
    assert values == [0, 1, 2, 3]
    assert folder.names() == {"done/a.csv"}


def test_every_line_of_a_writer_that_opens_its_file_again_is_read_once(folder: Folder) -> None:
    values = []
    folder.write("a.csv", CSV_HEADER)
    for minute in range(4):
        folder.write("a.csv", line(minute), at_s=100 * minute)
        values += folder.poll(100 * minute + 5)
        folder.poll(100 * minute + 90)  # read to its end, and to be moved
        folder.poll(100 * minute + 91)
        folder.restart()
    assert values == [0, 1, 2, 3]
    assert folder.names() == {"done/a.csv", "done/a-2.csv", "done/a-3.csv", "done/a-4.csv"}


@pytest.mark.parametrize("header", [CSV_HEADER, ""])
def test_a_rotated_file_is_read_to_its_end_and_the_new_one_from_its_start(
    folder: Folder, header: str
) -> None:
    path = folder.write("a.csv", CSV_HEADER + line(0))
    assert folder.poll(5) == [0]
    folder.write("a.csv", line(1))
    path.rename(folder.path / "a.csv.1")
    folder.write("a.csv", header + line(2), at_s=6)
    folder.restart()
    assert sorted(folder.poll(10)) == [1, 2]
    assert folder.poll(11) == []


@pytest.mark.parametrize("name", ["a.old", "a.csv.processed", "b.jsonl"])
def test_a_followed_file_is_read_as_what_it_was_whatever_it_is_called(
    folder: Folder, name: str
) -> None:
    path = folder.write("a.csv", CSV_HEADER + line(0))
    assert folder.poll(5) == [0]
    path.rename(folder.path / name)
    folder.write(name, line(1))
    assert folder.poll(6) == [1]


@pytest.mark.parametrize("header", [CSV_HEADER, ""])
def test_a_file_that_was_copied_and_cut_loses_no_line(folder: Folder, header: str) -> None:
    path = folder.write("a.csv", CSV_HEADER + line(0))
    assert folder.poll(5) == [0]
    folder.write("a.csv", line(1))
    folder.write("a.csv.1", path.read_text())
    folder.write("a.csv", header + line(2), mode="w", at_s=6)
    assert sorted(folder.poll(10)) == [0, 1, 2]  # the copy is read as what it is, a new file
    assert folder.poll(11) == []


@pytest.mark.parametrize("restarts", [False, True])
def test_what_is_written_to_a_file_in_done_is_read(folder: Folder, restarts: bool) -> None:
    folder.write("a.csv", CSV_HEADER + line(0), at_s=-600)
    folder.poll()
    folder.poll(1)
    if restarts:
        folder.restart()
    folder.write("done/a.csv", line(1), at_s=2)
    assert folder.poll(5) == [1]
    assert folder.names() == {"a.csv"}


@pytest.mark.parametrize(("mapping", "restarts"), [("two", True), ("one", True), ("one", False)])
def test_a_file_that_is_moved_back_is_read_again(
    folder: Folder, mapping: str, restarts: bool
) -> None:
    path = folder.write("a.csv", CSV_HEADER + line(0), at_s=-600)
    folder.poll()
    folder.poll(1)
    (folder.path / "done" / "a.csv").rename(path)
    if restarts:
        folder.restart(mapping)
    assert folder.poll(2) == [0]


def test_what_another_mapping_has_read_of_a_file_that_is_still_there_is_read_again(
    folder: Folder,
) -> None:
    folder.write("a.csv", CSV_HEADER + line(0))
    assert folder.poll(5) == [0]
    folder.restart("two")
    assert folder.poll(10) == [0]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_file_dated_in_the_future_is_read_and_moved(folder: Folder, name: str) -> None:
    path = folder.path / name
    WRITERS[path.suffix[1:]](path, [{"timestamp": NOW, "server": "a", "cpu_user_pct": 7}])
    os.utime(path, (NOW.timestamp() + 86400,) * 2)
    assert folder.poll() + folder.poll(5) == [7]
    folder.poll(70)
    folder.poll(71)
    assert folder.names() == {f"done/{name}"}


def test_a_parquet_file_that_is_still_open_is_left_until_it_is_closed(folder: Folder) -> None:
    whole = folder.path / "whole"
    parquet(whole, [{"timestamp": NOW, "server": "a", "cpu_user_pct": 7}])
    with (folder.path / "a.parquet").open("wb") as writer:
        writer.write(whole.read_bytes()[:100])
        writer.flush()
        whole.rename(folder.path / ".whole")
        assert folder.poll(600) + folder.poll(1200) == []
        writer.write((folder.path / ".whole").read_bytes()[100:])
    assert folder.poll(1800) + folder.poll(1810) == [7]


def test_a_continuation_without_a_known_header_is_rejected_in_words(folder: Folder) -> None:
    folder.write("a.csv", line(1), at_s=-600)
    assert folder.poll() == []
    assert "write that one's header first" in folder.notes[0]
    folder.poll(1)
    assert folder.names() == {"rejected/a.csv", "rejected/a.csv.reason.txt"}


def test_many_files_are_read_and_moved_although_they_are_new(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.connectors.files.MAX_FILES", 3)
    for n in range(8):
        folder.write(f"{n}.csv", CSV_HEADER + line(n))
    values = folder.poll(5) + folder.poll(6) + folder.poll(7)
    assert sorted(values) == list(range(8))
    assert len(json.dumps(folder.position)) < 2000


def test_one_file_that_cannot_be_opened_does_not_stop_the_others(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.write("a.csv", CSV_HEADER + line(1), at_s=-60)
    folder.write("b.csv", CSV_HEADER + line(2))
    opened = RealFolder.open

    def refuse(real: RealFolder, name: str, part: str = "") -> Any:
        if name == "a.csv":
            raise PermissionError(13, "Permission denied")
        return opened(real, name, part)

    monkeypatch.setattr(RealFolder, "open", refuse)
    assert folder.poll(5) == [2]
    assert folder.notes == ["a.csv cannot be read (Permission denied): let this user read it"]


def test_a_file_of_which_no_record_could_be_used_is_rejected_until_the_mapping_fits(
    rig: FolderRig, house: LakeFixture
) -> None:
    chain, path = Chain(house), rig.folder / "a.csv"
    path.write_text("when,host,cpu_user_pct\n2026-05-06T11:00:00,a,1\n2026-05-06T11:05:00,a,2\n")
    os.utime(path, (OLD_S, OLD_S))
    text = rig.text() + '[mapping.time]\nfield = "when"\n'
    chain.run_all(text)
    rejected = rig.folder / "rejected" / "a.csv"
    reason = rejected.with_name("a.csv.reason.txt").read_text()
    assert "no record could be used: time (field when): " in reason
    assert "move the file back" in reason
    rejected.rename(path)
    chain.run_all(text + 'zone = "Europe/Berlin"\n')
    assert [cpu for _, _, cpu in chain.samples()] == [1, 2]


def test_lines_that_come_in_two_polls_are_gathered_also_over_a_restart(
    rig: FolderRig, house: LakeFixture
) -> None:
    chain, path = Chain(house), rig.folder / "a.jsonl"
    text = rig.text() + '[mapping]\ngather = "10s"\n'
    parts = [{"cpu_user_pct": 1}, {"mem_used_pct": 2}]
    for seconds, values in zip((2, 7), parts, strict=True):
        with path.open("a") as file:
            ts = (NOW + timedelta(seconds=seconds)).isoformat()
            file.write(json.dumps({"timestamp": ts, "server": "a"} | values) + "\n")
        for later in (2.5, 5):
            chain.run(text, NOW + timedelta(seconds=seconds + later))
        chain = chain.restarted()
    chain.run(text, NOW + timedelta(seconds=50))
    chain.run_all(text, NOW + timedelta(seconds=60))
    rows = house.reader.query("SELECT cpu_user_pct, mem_used_pct FROM metrics")
    assert rows.to_pylist() == [{"cpu_user_pct": 1, "mem_used_pct": 2}]
