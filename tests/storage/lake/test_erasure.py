from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.config.folders import Folders
from storage.lake.erasure import erase_rejected, names_server, without_name
from storage.model.names import erased_name
from tests.conftest import NOW, LakeFixture

NAME = "ppweb-1"
LATER = datetime.now(UTC) + timedelta(hours=1)


def sample(server: str, seconds: int = 0, **fields: Any) -> dict[str, Any]:
    when = NOW - timedelta(seconds=seconds)
    return {"server": server, "ts": when, "mem_used_pct": 50.0} | fields


def request_erasure(house: LakeFixture, *servers: str, why: str | None = None) -> None:
    house.put("deletions", [{"server": s, "ts": NOW, "why": why} for s in servers])


def files_naming(house: LakeFixture, name: str) -> list[Path]:
    """Parquet files on the disk that have `name` as a whole word in any text."""
    result = []
    for path in house.folders.data.rglob("*.parquet"):
        rows = pq.ParquetFile(path).read().to_pylist()
        if any(f"'{name}'" in str(row) or f" {name} " in str(row) for row in rows):
            result.append(path)
    return result


def fill(house: LakeFixture) -> None:
    for i in range(3):
        house.put("metrics", [sample(s, i) for s in (NAME, "ppweb-10", "ppdb1")])
        house.put("metrics_5m", [{"server": NAME, "ts": NOW - timedelta(minutes=5 * i)}])
        house.commit()
    house.put("metrics", [sample(NAME, ts=NOW + timedelta(minutes=9)), sample("ppdb1", 9)])
    house.commit()


def test_an_erased_server_is_removed_from_every_table_and_the_others_stay(
    house: LakeFixture,
) -> None:
    fill(house)
    request_erasure(house, NAME)
    house.commit()
    assert house.one("SELECT count(*) FROM metrics") == 7
    assert house.one("SELECT count(*) FROM metrics_5m") == 0
    assert house.reader.query("SELECT server FROM servers ORDER BY 1")["server"].to_pylist() == [
        "ppdb1", "ppweb-10",
    ]  # fmt: skip


def test_a_deletion_records_the_number_of_rows_and_no_name(house: LakeFixture) -> None:
    fill(house)
    request_erasure(house, NAME, why=f"the owner of {NAME} asked")
    house.commit()
    row = house.reader.query("SELECT server, why, went FROM deletions").to_pylist()[0]
    assert row["server"] == erased_name(NAME)
    assert row["why"] == f"the owner of {erased_name(NAME)} asked"
    assert {w["table"]: w["rows"] for w in row["went"]} == {
        "metrics": 3, "metrics_5m": 3, "server_facts": 2,
    }  # fmt: skip


def test_rows_in_the_inbox_of_an_erased_server_are_erased(house: LakeFixture) -> None:
    request_erasure(house, NAME)
    house.put("metrics", [sample(NAME), sample("ppdb1")])
    house.commit()
    assert house.one("SELECT string_agg(server) FROM metrics") == "ppdb1"


def test_links_and_states_that_name_an_erased_server_go_and_profiles_stay(
    house: LakeFixture,
) -> None:
    house.put("cascade_links", [
        {"downstream": a, "upstream": b, "ts": NOW} for a, b in ((NAME, "db1"), ("web2", NAME))
    ] + [{"downstream": "web2", "upstream": "db1", "ts": NOW}])  # fmt: skip
    state = {"metric": "load_average", "bucket": 60, "ts": NOW, "model": "m", "name": NAME}
    house.put("calibration", [state | {"scope": scope} for scope in ("server", "profile")])
    house.put("metrics", [sample(NAME)])
    house.commit()
    request_erasure(house, NAME)
    house.commit()
    links = house.reader.query("SELECT downstream, upstream FROM cascade_links").to_pylist()
    assert links == [{"downstream": "web2", "upstream": "db1"}]
    scopes = house.reader.query("SELECT scope FROM calibration")["scope"].to_pylist()
    assert scopes == ["profile"]


def test_texts_no_longer_name_an_erased_server(house: LakeFixture) -> None:
    fill(house)
    said = "SELECT string_agg(refusals[1]) FROM segments"
    assert f"of {NAME} lies" in house.one(said)
    request_erasure(house, NAME)
    house.commit()
    assert f"of {erased_name(NAME)} lies" in house.one(said)


def test_after_the_grace_no_file_on_the_disk_names_an_erased_server(house: LakeFixture) -> None:
    fill(house)
    (house.folders.rejected / "torn.parquet").write_bytes(b"no Parquet")
    house.writer.run_maintenance(NOW)
    request_erasure(house, NAME)
    house.commit()
    assert files_naming(house, NAME)
    for _ in range(3):
        house.writer.run_maintenance(LATER)
    assert files_naming(house, NAME) == []
    assert files_naming(house, "ppweb-10")
    assert house.one("SELECT count(*) FROM metrics") == 7


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("row of web-1 lies", True), ("'web-1', web-1: no time", True), ("so is web-1.", True),
        ("web-10", False), ("my.web-1", False), ("web-1.db", False), ("web-1:9100", False),
        ("aweb-1", False), ("web-1é", False), ("éweb-1", False),
    ],
)  # fmt: skip
def test_a_text_names_a_server_by_its_whole_name(text: str, named: bool) -> None:
    assert names_server(text, "web-1") is named
    assert (erased_name("web-1") in without_name(text, "web-1")) is named


def test_rejected_files_of_a_server_with_a_longer_name_stay(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    for name in ("web-1", "web-10"):
        rows = pa.table({"server": pa.array([name]).dictionary_encode()})
        pq.write_table(rows, folders.rejected / f"{name}.parquet")
        (folders.rejected / f"{name}.reason.txt").write_text(f"of {name}: no time\n")
    erase_rejected(folders, ["web-1"])
    assert sorted(path.name for path in folders.rejected.iterdir()) == [
        "web-10.parquet", "web-10.reason.txt",
    ]  # fmt: skip


def test_a_correction_after_an_erasure_does_not_prevent_the_rewrite(house: LakeFixture) -> None:
    both = [{"server": s, "ts": NOW, "mem_used_pct_mean": 1.0} for s in (NAME, "ppdb1", "ppdb2")]
    house.put("metrics_5m", both)
    house.commit()
    request_erasure(house, NAME)
    house.commit()
    house.put("metrics_5m", [both[1] | {"mem_used_pct_mean": 2.0}])
    house.commit()
    for _ in range(3):
        house.writer.run_maintenance(LATER)
    assert files_naming(house, NAME) == []
    assert house.one("SELECT sum(mem_used_pct_mean) FROM metrics_5m") == 3


def test_an_erased_server_that_keeps_sending_comes_back(house: LakeFixture) -> None:
    fill(house)
    request_erasure(house, NAME)
    house.commit()
    house.put("metrics", [sample(NAME)])
    house.commit()
    assert house.one("SELECT profile FROM servers WHERE server = $name", name=NAME) == "web_api"


def test_damaged_files_that_name_the_server_are_removed(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    folders.damaged.mkdir()
    for name, held in (("x", f"server {NAME}"), ("y", "server other")):
        (folders.damaged / f"{name}.parquet.json").write_text(held)
        pq.write_table(pa.table({"server": ["other"]}), folders.damaged / f"{name}.parquet")
    erase_rejected(folders, [NAME])
    assert sorted(path.name for path in folders.damaged.iterdir()) == [
        "y.parquet",
        "y.parquet.json",
    ]
