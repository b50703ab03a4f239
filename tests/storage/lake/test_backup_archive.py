import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from storage.lake.backup_archive import (
    BackupRefused,
    Manifest,
    TableSum,
    extract_archive,
    write_archive,
)

CONTENT = {"lake/main/a.parquet": b"rows" * 1000, "catalog.sqlite": b"catalog", "empty": b""}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    for name, content in CONTENT.items():
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    write_archive(tmp_path / "data", tmp_path / "b.tar", manifest())
    return tmp_path / "b.tar"


def manifest() -> Manifest:
    return Manifest("2026-05-06T12:00:00+00:00", 7, "1.5.5", {"metrics": TableSum(3, "99")})


def archive_of(path: Path, *members: tuple[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_an_archive_is_unpacked_as_it_was_written(archive: Path, tmp_path: Path) -> None:
    restored = extract_archive(archive, tmp_path / "again")
    result = {name: (tmp_path / "again" / name).read_bytes() for name in CONTENT}
    assert result == CONTENT
    assert (restored.snapshot, restored.tables) == (7, {"metrics": TableSum(3, "99")})
    assert restored.files == {n: hashlib.sha256(c).hexdigest() for n, c in CONTENT.items()}


def test_progress_ends_at_the_total(tmp_path: Path, archive: Path) -> None:
    steps: list[tuple[int, int]] = []
    write_archive(
        tmp_path / "data", tmp_path / "c.tar", manifest(), lambda *step: steps.append(step)
    )
    assert steps[-1] == (4007, 4007)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert archive.exists()


def test_fields_of_a_later_version_are_ignored() -> None:
    raw = json.loads(manifest().encode()) | {"later": True}
    assert Manifest.decode(json.dumps(raw).encode()) == manifest()


def test_an_archive_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    newer = archive_of(tmp_path / "n.tar", ("hoursight.json", b'{"format": 2}'))
    with pytest.raises(BackupRefused, match=r"has format 2 \(expected at most 1\)"):
        extract_archive(newer, tmp_path / "again")


@pytest.mark.parametrize("name", ["../outside", "/outside", "lake/../../outside"])
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    label = ("hoursight.json", b'{"format": 1}')
    hostile = archive_of(tmp_path / "h.tar", label, (name, b"x"))
    with pytest.raises(BackupRefused, match="leads out of the folder"):
        extract_archive(hostile, tmp_path / "again")
    assert not (tmp_path / "outside").exists()


def test_a_file_that_the_manifest_does_not_have_is_refused(tmp_path: Path) -> None:
    label, end = ("hoursight.json", b'{"format": 1}'), ("manifest.json", manifest().encode())
    with pytest.raises(BackupRefused, match="the hash of extra"):
        extract_archive(
            archive_of(tmp_path / "e.tar", label, ("extra", b"x"), end), tmp_path / "again"
        )
