"""Problems of the system itself on the pages and in the health endpoints."""

import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from litestar.testing import TestClient

from storage.config.folders import Folders
from storage.lake.file_health import DamageRecord
from tests.web.conftest import Client
from tests.web.site_lakes import LakeServer, SiteLakeWriter
from web.app import create_app
from web.display.system_status import Outage, damage_problem, writer_problem

NOW = datetime.now(UTC)
LATE = datetime(2026, 3, 1, 2, 11, 42, tzinfo=UTC)


def event(
    process: str, seconds_ago: float, what: str, detail: str | None = None
) -> dict[str, object]:
    ts = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return {"process": process, "ts": ts, "event": what, "pid": 7, "detail": detail}


def model_event(model: str, seconds_ago: float, what: str) -> dict[str, object]:
    ts = datetime.now(UTC) - timedelta(seconds=seconds_ago)
    return {
        "model": model, "ts": ts, "event": what, "path": "/srv/models/serving.onnx",
        "detail": "its schema hash is 12ab, the lake's is 34cd",
    }  # fmt: skip


def pages(client: Client) -> Iterable[str]:
    for path in ("/", "/servers/web-07.shop"):
        yield client.get(path).text.replace("&#39;", "'")


def test_a_healthy_system_shows_no_banner(client: Client) -> None:
    for page in pages(client):
        assert "data-problem" not in page
    assert "All systems operational" in client.get("/").text


def test_a_refused_model_is_a_problem_and_no_forecast_is_drawn(
    fleet: SiteLakeWriter, site: Client
) -> None:
    fleet.insert("models", [model_event("a", 900, "serving"), model_event("b", 60, "refused")])
    for page in pages(site):
        assert "the model /srv/models/serving.onnx was refused" in page
        assert "its schema hash is 12ab, the lake's is 34cd" in page
        assert "remove the file" in page
        assert "No forecast: the model was refused" in page
        assert "likely passes" not in page
    assert "_ahead" not in site.get("/").text
    assert all(not c["ahead"] for c in site.get("/charts/web-07.shop").json()["charts"])


def test_a_model_that_serves_again_ends_the_problem(fleet: SiteLakeWriter, site: Client) -> None:
    fleet.insert("models", [model_event("b", 60, "refused"), model_event("a", 5, "serving")])
    assert all("data-problem" not in page for page in pages(site))


def test_a_process_that_is_down_is_a_problem_with_its_remedy(
    fleet: SiteLakeWriter, site: Client
) -> None:
    fleet.insert("processes", [
        event("collector", 300, "started"), event("collector", 20, "ended", "killed, signal 9"),
    ])  # fmt: skip
    for page in pages(site):
        assert "collector is down since " in page
        assert "(killed, signal 9)" in page
        assert "no samples come in" in page


def test_an_outage_that_is_over_is_listed_as_an_outage(fleet: SiteLakeWriter, site: Client) -> None:
    fleet.insert("processes", [
        event("writer", 300, "ended", "killed, signal 9"), event("writer", 297, "started"),
        event("engine", 99_000, "ended", "exit 1"), event("engine", 98_000, "started"),
    ])  # fmt: skip
    for page in pages(site):
        assert "writer was down for 3 s at " in page
        assert "segments waited in the inbox and nothing was lost" in page
        assert "engine" not in page.split("<footer")[0].split("<main")[1]
        assert "data-problem" not in page


def test_a_restart_by_a_person_is_no_outage(fleet: SiteLakeWriter, site: Client) -> None:
    fleet.insert("processes", [
        event("writer", 300, "ended", "stopped with the system"), event("writer", 290, "started"),
        event("web", 900, "ended", "stopped with the system"), event("web", 300, "started"),
    ])  # fmt: skip
    for page in pages(site):
        assert "writer was down" not in page
        assert "web was down for 10 min at " in page


def test_a_full_disk_is_on_the_page_with_its_remedy(
    fleet: SiteLakeWriter, site: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = os.statvfs_result((4096, 4096, 1000, 0, 0, 1000, 10, 10, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    for page in pages(site):
        assert f"Nothing can be stored: the disk of {fleet.folders.data} is full" in page
        assert "Free some space there" in page


def test_a_process_that_came_back_under_its_new_name_is_not_down(
    fleet: SiteLakeWriter, site: Client
) -> None:
    fleet.insert("processes", [
        event("writer", 300, "ended", "killed, signal 9"), event("writer", 297, "started"),
        event("collect", 300, "ended", "exit 1"), event("collector", 290, "started"),
        event("think", 300, "ended", "exit 1"),
    ])  # fmt: skip
    for page in pages(site):
        assert "writer was down for 3 s at " in page
        assert "collector was down for 10 s at " in page
        assert "engine is down since " in page


@pytest.mark.parametrize(
    ("process", "missed"),
    [
        ("collector", "no samples came in meanwhile"),
        ("engine", "no roll-ups, forecasts and risks were made meanwhile"),
        ("web", "this site could not be reached meanwhile"),
        ("other", "its work waited meanwhile"),
    ],
)
def test_an_outage_names_what_was_missed(process: str, missed: str) -> None:
    began = LATE - timedelta(seconds=37)
    outage = Outage(process, began, began + timedelta(seconds=3), "killed, signal 9")
    assert outage.sentence(LATE) == (
        f"{process} was down for 3 s at 02:11:05 UTC (killed, signal 9): {missed}"
    )


def inbox_of(data: Path, segments: int, committed_ago: float | None) -> Folders:
    folders = Folders.at(data).create()
    for i in range(segments):
        segment = folders.inbox / f"{i}.parquet"
        segment.touch()
        os.utime(segment, (NOW.timestamp() - 20, NOW.timestamp() - 20))
    if committed_ago is not None:
        committed_at = NOW.timestamp() - committed_ago
        (folders.announce / "metrics").touch()
        os.utime(folders.announce / "metrics", (committed_at, committed_at))
    return folders


def test_a_silent_writer_is_a_problem_when_segments_wait(tmp_path: Path) -> None:
    (problem,) = writer_problem(inbox_of(tmp_path, 7, 42), NOW)
    assert problem.headline == "No commit for 42 s; 7 segments wait in the inbox"
    (problem,) = writer_problem(inbox_of(tmp_path / "new", 1, None), NOW)
    assert problem.headline == "No commit so far; 1 segment waits in the inbox"


def test_a_writer_that_commits_or_is_idle_is_not_a_problem(tmp_path: Path) -> None:
    assert not list(writer_problem(inbox_of(tmp_path / "busy", 7, 4), NOW))
    assert not list(writer_problem(inbox_of(tmp_path / "idle", 0, 4000), NOW))


def test_a_silent_writer_is_a_problem_before_the_first_commit(tmp_path: Path) -> None:
    inbox_of(tmp_path, 2, None)
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        page = client.get("/").text
    assert "No commit so far; 2 segments wait in the inbox" in page
    assert "Waiting for the first samples" in page


def test_damaged_files_are_a_problem_until_they_are_removed(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path)
    assert list(damage_problem(folders)) == []
    folders.damaged.mkdir()
    for name, minutes in (("a", 2), ("b", 1)):
        at = NOW - timedelta(minutes=minutes)
        record = DamageRecord(
            f"{name}.parquet", "metrics", 5, "is truncated", "server x", at, False
        )
        (folders.damaged / f"{name}.parquet.json").write_bytes(msgspec.json.encode(record))
    [problem] = damage_problem(folders)
    assert (
        problem.headline == "2 files of the lake were damaged and put aside: the rows are missing"
    )
    assert problem.detail == (
        "lake/b.parquet is truncated: 5 rows of metrics (server x), and 1 more"
    )


def test_old_samples_are_a_problem_on_every_page(lake: SiteLakeWriter, site: Client) -> None:
    lake.fleet([LakeServer("web-07.shop", age=timedelta(hours=2, minutes=10))])
    for page in pages(site):
        assert "The newest sample is 2 h 1" in page
        assert "this page does not show the present" in page
    ready = site.get("/readyz")
    assert ready.status_code == 503
    assert "2 h 1" in ready.json()["detail"]


def test_an_unreadable_lake_is_an_error_page_without_traceback(tmp_path: Path) -> None:
    folders = Folders.at(tmp_path).create()
    folders.catalog.write_bytes(b"this is no database " * 400)
    with TestClient(create_app(tmp_path), "http://127.0.0.1") as client:
        answer = client.get("/")
        as_data = client.get("/fleet.json")
    assert answer.status_code == as_data.status_code == 503
    assert "The lake cannot be read" in answer.text
    assert "Traceback" not in answer.text
    assert as_data.json()["detail"] == "The lake cannot be read"


def test_a_lake_that_is_back_is_read_again(fleet: SiteLakeWriter, site: Client) -> None:
    # Pages keep what they have read until the next commit; a query of samples reads each time.
    read = "/api/v1/query?query=load_average"
    assert site.get(read).status_code == 200
    hidden = fleet.folders.lake.rename(fleet.folders.data / "gone")
    assert site.get(read).status_code == 503
    hidden.rename(fleet.folders.lake)
    assert site.get(read).status_code == 200
    assert site.get("/").status_code == 200
