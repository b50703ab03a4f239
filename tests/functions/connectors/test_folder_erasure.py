"""Erasure of a server from the files of watched folders, and of no other server's."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.connectors.folder_erasure import FileErasure, erase_in_folder, watched_folders
from functions.connectors.real_folder import RealFolder
from storage.config.folders import Folders

CSV = "ts,server,cpu\n"


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    for part in ("done", "rejected"):
        (tmp_path / "drop" / part).mkdir(parents=True)
    return tmp_path / "drop"


def erased(drop: Path, server: str = "web-1", *, dry: bool = False) -> list[FileErasure]:
    return erase_in_folder(RealFolder(drop), server, dry=dry)


@pytest.mark.parametrize(
    ("name", "text", "rest", "records"),
    [
        ("a.csv", CSV + "1,web-1,1\n2,web-10,2\n3,web-1:9100,3\n", CSV + "2,web-10,2\n", 1),
        ("a.csv", CSV + '1;"web-1";1\r\n2;db;2\r\n', CSV + "2;db;2\r\n", 1),
        ("a.csv.1", "1,db,2\n2,web-1,1\n", "1,db,2\n", 1),
        ("a.csv", CSV + "1,web-1,1\n2,web-1,1\n", None, 2),
        ("a.jsonl", '{"host": {"name": "web-1"}}\n{"host": {"name": "web-10"}}\n', "web-10", 1),
        ("a.ndjson", '{"tags": ["web-1"]}\n', None, 1),
    ],
)
def test_records_of_the_server_go_and_those_of_others_stay(
    drop: Path, name: str, text: str, rest: str | None, records: int
) -> None:
    path = drop / "done" / name
    path.write_bytes(text.encode())
    path.chmod(0o640)
    (result,) = erased(drop)
    assert result == FileErasure(path, records, removed=rest is None)
    if rest is None:
        assert not path.exists()
    else:
        kept = path.read_bytes().decode()
        assert rest.rpartition("\n")[0].split("\n")[-1] in kept
        assert not any(line in kept for line in text.splitlines() if '"web-1"' in line)
        assert path.stat().st_mode & 0o777 == 0o640
    assert os.listdir(drop / "done") == ([] if rest is None else [name])


def test_rows_of_parquet_go_and_those_of_others_stay(drop: Path) -> None:
    path = drop / "rejected" / "a.parquet"
    names = pa.array(["web-1", "web-10", None]).dictionary_encode()
    pq.write_table(pa.table({"server": names, "cpu": [1, 2, 3]}), path)
    assert erased(drop) == [FileErasure(path, 1)]
    assert pq.read_table(path)["server"].to_pylist() == ["web-10", None]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[{"server": "web-1"}, {"server": "db"}]'),
        ("a.csv", "ts,web-1 cpu,web-2 cpu\n1,2,3\n"),
        ("a.csv", CSV + '1,web-1,"one\ntwo"\n'),
        ("a.csv", (CSV + "1,web-1,1\n").encode("utf-16").decode("latin-1")),
        ("a.xlsx", "PK web-1 in a sheet"),
    ],
)
def test_what_cannot_be_taken_out_is_left_and_named(drop: Path, name: str, text: str) -> None:
    path = drop / "done" / name
    path.write_bytes(text.encode("latin-1"))
    (result,) = erased(drop)
    assert (result.path, result.removed) == (path, False)
    assert "over several lines" in result.left
    assert path.read_bytes() == text.encode("latin-1")


@pytest.mark.parametrize("server", ["web-1", "web", "eb-10", "web-10.example"])
def test_files_of_servers_with_a_similar_name_are_not_touched(drop: Path, server: str) -> None:
    for part in ("", "done", "rejected"):
        (drop / part / "a.csv").write_text(CSV + "1,web-10,1\n")
    reason = drop / "rejected" / "a.csv.reason.txt"
    reason.write_text("no record could be used: server 'web-10' has no time\n")
    before = {path: path.read_bytes() for path in drop.rglob("*.*")}
    assert erased(drop, server) == []
    assert {path: path.read_bytes() for path in drop.rglob("*.*")} == before


def test_a_reason_goes_with_its_file_and_is_reworded_otherwise(drop: Path) -> None:
    rejected = drop / "rejected"
    for name, server in (("a.csv", "web-1"), ("b.csv", "db")):
        (rejected / name).write_text(CSV + f"1,{server},1\n")
        (rejected / f"{name}.reason.txt").write_text(f"web-1 and {server} lack a time\n")
    erased(drop)
    assert sorted(os.listdir(rejected)) == ["b.csv", "b.csv.reason.txt"]
    text = (rejected / "b.csv.reason.txt").read_text()
    assert text.startswith("deleted-")
    assert text.endswith(" and db lack a time\n")


def test_a_file_that_is_still_read_is_left_and_named(drop: Path) -> None:
    (drop / "a.csv").write_text(CSV + "1,web-1,1\n")
    (result,) = erased(drop)
    assert result.left == "its source still reads it"
    assert (drop / "a.csv").exists()


def test_a_file_that_is_still_written_is_left_and_named(drop: Path) -> None:
    path = drop / "done" / "a.csv"
    with path.open("w") as writer:
        writer.write(CSV + "1,web-1,1\n")
        writer.flush()
        (result,) = erased(drop)
    assert result.left == "a program still writes to it"
    assert "web-1" in path.read_text()


def test_a_part_that_is_a_link_is_named_and_the_other_is_searched(drop: Path) -> None:
    (drop / "done").rmdir()
    (drop / "done").symlink_to("/etc")
    (drop / "rejected" / "a.csv").write_text(CSV + "1,web-1,1\n")
    link, removed = erased(drop)
    assert "'done' in the folder" in link.left
    assert removed.removed


def test_a_dry_run_changes_nothing(drop: Path) -> None:
    path = drop / "done" / "a.csv"
    path.write_text(CSV + "1,web-1,1\n2,db,1\n")
    assert erased(drop, dry=True) == [FileErasure(path, 1)]
    assert "web-1" in path.read_text()


def test_no_link_in_a_folder_leads_to_the_file_of_another_place(drop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(CSV + "1,web-1,1\n")
    (drop / "done" / "a.csv").symlink_to(other)
    (drop / "rejected" / "b.csv.reason.txt").symlink_to(other)
    assert erased(drop) == []
    assert "web-1" in other.read_text()


def test_the_folders_are_those_of_source_files_on_or_off(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    folders.sources.mkdir()
    texts = {
        "one": 'kind = "files"\n', "two": 'kind = "files"\nenabled = false\n[connection]\n'
        f"folder = {json.dumps(str(tmp_path / 'else'))}\n", "three": 'kind = "mongodb"\n',
        "four": "kind = [", "five": 'kind = "files"\n[connection]\nfolder = 5\n',
    }  # fmt: skip
    for name, text in texts.items():
        (folders.sources / f"{name}.toml").write_text(text)
    (folders.sources / "six.toml").write_text('kind = "files"\n')
    (folders.sources / "six.toml").chmod(0o666)
    known, refused = watched_folders(folders)
    assert sorted(each.path.name for each in known) == ["drop", "else"]
    assert [each.path.name for each in refused] == ["six.toml"]
    assert "other users can write to" in refused[0].left
