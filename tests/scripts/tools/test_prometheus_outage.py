"""The outage test counts what Prometheus sent and the lake lacks."""

import pytest

from scripts.tools.prometheus_outage import (
    GAUGES,
    RATES,
    appended_of,
    compare,
    config_of,
    counters_of,
)

EXPOSITION = """\
# TYPE prometheus_remote_storage_samples_total counter
prometheus_remote_storage_samples_total{remote_name="a1",url="http://127.0.0.1:1/api"} 1.5e+06
prometheus_remote_storage_samples_failed_total{remote_name="a1",url="http://127.0.0.1:1/api"} 500
prometheus_remote_storage_samples_in_total 7
"""
SENT = {"samples_total": 8, "samples_failed_total": 0, "samples_dropped_total": 0}
SCRAPES = {(server, at) for server in ("a", "b") for at in (0, 5000)}


def row(server: str, at: int, **values: float | None) -> dict[str, object]:
    return {"server": server, "at": at, **dict.fromkeys(GAUGES + RATES, 1.0), **values}


ALL = [row(*scrape) for scrape in sorted(SCRAPES)]


def test_the_counters_of_prometheus_are_read_by_name() -> None:
    assert counters_of(EXPOSITION) == {"samples_total": 1_500_000, "samples_failed_total": 500}


def test_all_kinds_of_stored_samples_are_counted() -> None:
    name = "prometheus_tsdb_head_samples_appended_total"
    assert appended_of(f'# TYPE {name} counter\n{name}{{type="float"}} 1.2e+03\n') == 1200
    assert appended_of(f"{name} 7\n") == 7


def test_a_whole_copy_is_clean_also_without_the_first_rates_and_with_later_rows() -> None:
    result = compare(SENT, 8, SCRAPES, [ALL[0] | dict.fromkeys(RATES), *ALL[1:], row("a", 9000)])
    assert (result.clean, result.rows, result.empty["cpu_idle_pct"]) == (True, 4, 1)


@pytest.mark.parametrize(
    ("counters", "rows"),
    [
        (SENT, ALL[1:]),
        (SENT, [*ALL, ALL[0]]),
        (SENT, [ALL[0] | {"load_average": None}, *ALL[1:]]),
        (SENT | {"samples_failed_total": 1}, ALL),
        (SENT | {"samples_dropped_total": 1}, ALL),
        (SENT | {"samples_total": 7}, ALL),
    ],
    ids=[
        "a row is missing",
        "a row is there twice",
        "a cell is empty",
        "failed",
        "dropped",
        "unsent",
    ],
)
def test_what_is_not_there_once_and_whole_is_not_clean(
    counters: dict[str, int], rows: list[dict[str, object]]
) -> None:
    assert not compare(counters, 8, SCRAPES, rows).clean


def test_each_target_is_a_server_of_its_own_and_remote_write_is_default() -> None:
    config = config_of(exporter=9100, site=8080, targets=3)
    assert config.count("127.0.0.1:9100") == 3
    assert "target02:9100" in config
    assert config.endswith("- url: http://127.0.0.1:8080/api/v1/write\n")
