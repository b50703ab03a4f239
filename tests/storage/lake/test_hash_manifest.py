from datetime import timedelta
from pathlib import Path

import pytest

from storage.lake.erasure import rewrite_masked
from storage.lake.hash_manifest import FileHash, HashManifest, hash_of, write_manifest
from storage.lake.maintenance import _day, _drop_day, _forget_removed_files
from tests.conftest import NOW, LakeFixture


@pytest.fixture
def manifest(tmp_path: Path) -> HashManifest:
    for name in ("a", "b c"):
        (tmp_path / name).write_text(name)
    manifest = HashManifest(tmp_path)
    manifest.record([tmp_path / "a", tmp_path / "b c"])
    return manifest


def lake_names(house: LakeFixture) -> set[str]:
    files = house.folders.lake
    return {path.relative_to(files).as_posix() for path in files.rglob("*.parquet")}


def assert_all_sound(house: LakeFixture) -> None:
    hashes = HashManifest(house.folders.lake).read().hashes
    for name in lake_names(house):
        assert hashes[name] == hash_of(house.folders.lake / name)


def test_recorded_hashes_are_read_back_with_sizes(manifest: HashManifest, tmp_path: Path) -> None:
    contents = HashManifest(manifest.path.parent).read()
    assert contents.hashes == {"a": hash_of(tmp_path / "a"), "b c": hash_of(tmp_path / "b c")}
    assert contents.hashes["b c"].bytes == 3


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_a_flipped_bit_in_a_line_is_noticed_and_harms_no_other_line(
    manifest: HashManifest, tmp_path: Path, place: int
) -> None:
    text = bytearray(manifest.path.read_bytes())
    text[text.index(b" b c") + 4 - place % 60 - 5] ^= 0x10
    manifest.path.write_bytes(text)
    contents = manifest.read()
    assert contents.damaged_lines >= 1
    assert contents.hashes == {"a": hash_of(tmp_path / "a")}


def test_a_torn_last_line_is_ignored_and_the_next_line_is_whole(manifest: HashManifest) -> None:
    manifest.path.write_bytes(manifest.path.read_bytes()[:-5])
    manifest.add({"d": FileHash("00", 1)})
    assert set(manifest.read().hashes) == {"a", "d"}


def test_keep_drops_all_other_lines(manifest: HashManifest, tmp_path: Path) -> None:
    assert manifest.keep({"a", "never recorded"}) == 1
    assert set(manifest.read().hashes) == {"a"}
    assert not manifest.is_recorded(tmp_path / "b c")


def test_a_written_manifest_can_be_added_to(tmp_path: Path) -> None:
    write_manifest(tmp_path / "hashes", {"a": FileHash("aa", 1)})
    HashManifest(tmp_path).add({"b": FileHash("bb", 2)})
    assert HashManifest(tmp_path).read().hashes == {"a": FileHash("aa", 1), "b": FileHash("bb", 2)}


def sample(server: str, **values: float) -> dict[str, object]:
    return {"server": server, "ts": NOW - timedelta(minutes=1)} | values


def test_commits_merges_and_masks_of_replaced_rows_have_hashes(house: LakeFixture) -> None:
    house.put("metrics", [sample("a", mem_used_pct=1), sample("b", mem_used_pct=1)])
    house.commit()
    house.put("metrics", [sample("a", load_average=2)])  # the row of before is masked
    house.commit()
    assert any(name.endswith("-delete.parquet") for name in lake_names(house))
    assert_all_sound(house)
    metrics = house.writer._connection.schema.table("metrics")
    rewrite_masked(house.writer._connection, metrics, 1)
    house.writer.merge("metrics")
    assert_all_sound(house)


def test_maintenance_drops_the_hashes_of_removed_files(house: LakeFixture) -> None:
    connection = house.writer._connection
    connection.manifest.add({"main/metrics/gone.parquet": FileHash("00", 1)})
    house.put("metrics", [sample("a", mem_used_pct=1)])
    house.commit()
    _forget_removed_files(connection)
    assert set(HashManifest(house.folders.lake).read().hashes) == lake_names(house)


def test_the_mask_of_an_expired_day_has_a_hash(house: LakeFixture) -> None:
    connection, days = house.writer._connection, (NOW - timedelta(days=1), NOW)
    house.put("server_facts", [{"server": "a", "ts": ts} for ts in days])
    house.commit()
    _drop_day(connection, connection.schema.table("server_facts"), _day(days[0]), NOW)
    assert any(name.endswith("-delete.parquet") for name in lake_names(house))
    assert_all_sound(house)
