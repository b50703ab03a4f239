"""Sparklines: lines of the past, forecast medians, and where they are left out."""

from datetime import UTC, datetime, timedelta

from storage.model.grid import floor_step
from tests.web.site_lakes import LakeServer, SiteLakeWriter
from web.display.server_status import ServerStatus, server_status
from web.display.sparklines import Sparklines
from web.lake_session import LakeSession, sql

NOW = datetime.now(UTC)


def drawn(
    lake: SiteLakeWriter, server: LakeServer, issued: datetime | None
) -> tuple[ServerStatus, dict[str, str]]:
    """A server of the lake, and the paths of its sparkline."""
    lake.fleet([server], NOW)
    with LakeSession(lake.folders.data).snapshot() as reader:
        (row,) = reader.query(sql("fleet"), now=NOW).to_pylist()
        status = server_status(row, NOW)
        return status, Sparklines(reader, NOW, issued).paths(status)


def test_past_and_forecast_meet_at_the_present(lake: SiteLakeWriter) -> None:
    _, paths = drawn(lake, LakeServer("a"), floor_step(NOW))
    assert set(paths) == {"cpu", "mem", "cpu_ahead", "mem_ahead"}
    assert paths["cpu"].startswith("M0 ")
    assert paths["cpu_ahead"].startswith("M96 ")
    assert paths["cpu_ahead"].count("L") == 15


def test_cpu_used_is_drawn_not_cpu_idle(lake: SiteLakeWriter) -> None:
    _, paths = drawn(lake, LakeServer("a"), None)
    rows = [int(point.split()[1]) for point in paths["cpu"][1:].split("L")]
    assert min(rows) > 15  # 30 % used is in the lower half, 70 % idle would be in the upper


def test_without_a_forecast_only_the_past_is_drawn(lake: SiteLakeWriter) -> None:
    _, paths = drawn(lake, LakeServer("a", state="abstained"), floor_step(NOW))
    assert set(paths) == {"cpu", "mem"}


def test_the_forecast_of_a_stale_server_is_not_drawn(lake: SiteLakeWriter) -> None:
    status, paths = drawn(lake, LakeServer("a", age=timedelta(minutes=20)), floor_step(NOW))
    assert status.stale
    assert set(paths) == {"cpu", "mem"}


def test_half_hours_that_are_over_are_cut_from_the_forecast(lake: SiteLakeWriter) -> None:
    issued = floor_step(NOW)
    lake.fleet([LakeServer("a")], NOW)
    later = NOW + timedelta(hours=2)
    with LakeSession(lake.folders.data).snapshot() as reader:
        (row,) = reader.query(sql("fleet"), now=NOW).to_pylist()
        paths = Sparklines(reader, later, issued).paths(server_status(row, NOW))
    assert paths["mem_ahead"].count("L") == 11
