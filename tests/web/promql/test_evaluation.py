"""The same samples and queries in a real Prometheus and here: the answers must be equal."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from tests.functions.prometheus_server import PrometheusServer, needs_prometheus
from tests.web.conftest import Client
from tests.web.site_lakes import SiteLakeWriter
from web.app import create_app

pytestmark = needs_prometheus

END = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
# Until Prometheus 3 a range had the sample at its begin: no time is that of a sample.
BESIDE = timedelta(seconds=6.5)
SERVERS = {
    "web-1": {"profile": "web_api", "site": "lab"},
    "web-2": {"profile": "web_api", "site": "hall"},
    "db 'x' {1}": {"profile": "database"},
}
METRICS = ("cpu_user_pct", "cpu_idle_pct", "mem_used_pct", "load_average")
MINUTES, APART = 40, 15

QUERIES = (
    "cpu_user_pct", "cpu_user_pct{server='web-1'}", 'cpu_user_pct{server=~"web-.*",site!="lab"}',
    'cpu_user_pct{server!~"web.*"}', '{__name__=~"cpu_.*_pct", server="web-1"}', "nothing_at_all",
    'cpu_user_pct{site=""}', 'cpu_user_pct{unknown="x"}', 'cpu_user_pct{unknown=""}',
    "cpu_user_pct offset 5m", "cpu_user_pct offset -1m", "cpu_user_pct @ {end}",
    "cpu_user_pct @ start()", "100 - cpu_idle_pct", "-cpu_user_pct", "cpu_user_pct + cpu_idle_pct",
    "cpu_user_pct / 0", "cpu_user_pct > 20", "20 < cpu_user_pct", "cpu_user_pct > bool 20",
    "1 > bool 2", "cpu_user_pct > cpu_idle_pct", "cpu_user_pct < bool on(server) mem_used_pct",
    "cpu_user_pct == cpu_user_pct", "cpu_user_pct != 1",
    "cpu_user_pct >= 20 and cpu_idle_pct <= 90", "cpu_user_pct or mem_used_pct",
    "cpu_user_pct > 20 or on(server) cpu_user_pct * 0", "cpu_user_pct unless cpu_user_pct > 20",
    "cpu_user_pct and on() load_average > 100",
    "cpu_user_pct * on(profile) group_left sum by (profile) (mem_used_pct)",
    "sum by (profile) (mem_used_pct) * on(profile) group_right(site) cpu_user_pct",
    "cpu_user_pct - ignoring(site) mem_used_pct", "sum(cpu_user_pct)",
    "avg by (profile) (cpu_user_pct)", "max without (server) (cpu_user_pct)", "min(cpu_user_pct)",
    "count by (site) (cpu_user_pct)", "stddev(cpu_user_pct)", "stdvar by (profile) (cpu_user_pct)",
    "group by (site) (cpu_user_pct)", "quantile(0.4, cpu_user_pct)", "quantile(2, cpu_user_pct)",
    "sum without () (cpu_user_pct)", "avg_over_time(cpu_user_pct[5m])",
    "min_over_time(cpu_user_pct[5m])", "scalar(sum(load_average))",
    "max_over_time(cpu_user_pct[90s])", "sum_over_time(cpu_user_pct[3m])",
    "count_over_time(cpu_user_pct[3m])", "stddev_over_time(cpu_user_pct[5m])",
    "stdvar_over_time(cpu_user_pct[5m])", "last_over_time(cpu_user_pct[5m])",
    "present_over_time(cpu_user_pct[5m])", "quantile_over_time(0.9, cpu_user_pct[5m])",
    "changes(load_average[10m])", "delta(cpu_user_pct[5m])", "idelta(cpu_user_pct[5m])",
    "deriv(cpu_user_pct[10m])", "predict_linear(mem_used_pct[10m], 3600)", "abs(cpu_user_pct - 25)",
    "ceil(cpu_user_pct)", "floor(cpu_user_pct)", "round(cpu_user_pct)", "round(cpu_user_pct, 0.25)",
    "sqrt(cpu_user_pct)", "exp(load_average)", "ln(cpu_user_pct)", "log2(cpu_user_pct)",
    "log10(cpu_user_pct)", "sgn(cpu_user_pct - 25)", "clamp(cpu_user_pct, 20, 25)",
    "clamp_min(cpu_user_pct, 25)", "clamp_max(cpu_user_pct, 25)", "vector(3)", "time()", "pi()",
    "absent(nothing_at_all{server='a', x=~'b'})", "absent(cpu_user_pct)", "hour()",
    "minute(vector(4000))", "day_of_week(vector(1e9))", "day_of_month(vector(1e9))",
    "day_of_year(vector(1e9))", "month(vector(1e9))", "days_in_month(vector(1e9))",
    "year(vector(1e9))", 'label_replace(cpu_user_pct, "short", "$1-$$", "server", "web-(.*)")',
    'label_replace(cpu_user_pct, "short", "x", "server", "no(.*)")',
    'label_join(cpu_user_pct, "both", "/", "profile", "server", "none")', "1 + 1", "1 / 0",
    "-1 % 3", '"text"', "cpu_user_pct[2m]", "sum(cpu_user_pct > 20) / count(cpu_user_pct)",
)  # fmt: skip
ORDERED = (
    "sort(cpu_user_pct)", "sort_desc(cpu_user_pct)", "topk(2, cpu_user_pct)",
    "bottomk(1, cpu_user_pct) by (profile)", "topk(0, cpu_user_pct)",
)  # fmt: skip
REFUSED = (
    "cpu_user_pct +", "cpu_user_pct{", '{server=~".*"}', "1 > 2",
    "cpu_user_pct + on(profile) mem_used_pct", "cpu_user_pct * on(profile) mem_used_pct",
    '{server=~"("}', "sum(1)", "abs(2)", "cpu_user_pct and 1",
    'label_replace(sum by (profile) (cpu_user_pct), "profile", "x", "profile", ".*")', "-'a'",
    "foo(cpu_user_pct)", 'label_replace(cpu_user_pct, "1x", "x", "server", ".*")',
    "avg_over_time(cpu_user_pct)",
)  # fmt: skip


def _drawn(metric: str, server: str) -> Iterator[tuple[datetime, float]]:
    draws = np.random.default_rng(len(metric) + len(server))
    for i in range(MINUTES * 60 // APART):
        if server == "web-2" and 60 < i < 100:  # a gap of ten minutes
            continue
        value = 20 + 8 * math.sin(i / 9) + draws.normal() if metric != "load_average" else i // 20
        yield (
            END - timedelta(minutes=MINUTES) + timedelta(seconds=APART * i),
            round(value * 128) / 128,
        )


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Client, PrometheusServer]]:
    """The site and a Prometheus with the same samples."""
    lake = SiteLakeWriter(tmp_path_factory.mktemp("lake") / "var")
    prometheus = PrometheusServer(tmp_path_factory.mktemp("prometheus"), "global: {}\n")
    prometheus.start()
    rows: dict[tuple[str, datetime], dict[str, Any]] = {}
    for server, labels in SERVERS.items():
        since = END - timedelta(days=2)
        lake.insert("server_facts", [{"server": server, "ts": since, **labels}])
        for metric in METRICS:
            drawn = list(_drawn(metric, server))
            prometheus.put([({"__name__": metric, "server": server, **labels}, drawn)])
            for ts, value in drawn:
                row = rows.setdefault((server, ts), {"server": server, "ts": ts, "source": "t"})
                row[metric] = value
    lake.insert("metrics", rows.values())
    with Client(create_app(lake.folders.data), "http://127.0.0.1") as site:
        yield site, prometheus
    prometheus.close()
    lake.close()


def _asked(both: tuple[Client, PrometheusServer], path: str, **fields: Any) -> list[dict[str, Any]]:
    site, prometheus = both
    return [each.get(path, params=fields).json() for each in (site, prometheus.client)]


def _comparable(answer: dict[str, Any], ordered: bool = False, exact: bool = True) -> Any:
    """The answer, in the order of labels unless that of the answer is to be compared."""
    data = answer["data"]
    if data["resultType"] in ("scalar", "string"):
        return data["resultType"], _number(data["result"], exact)
    rows = []
    for row in data["result"]:
        points = row.get("values", [row.get("value")])
        rows.append((sorted(row["metric"].items()), [_number(each, exact) for each in points]))
    return data["resultType"], rows if ordered else sorted(rows, key=lambda row: row[0])


def _number(pair: Any, exact: bool) -> Any:
    try:
        number = float(pair[1])
    except ValueError:
        return tuple(pair)
    return round(pair[0], 3), number if exact else pytest.approx(number, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("query", QUERIES)
def test_an_expression_has_the_value_that_prometheus_gives(
    both: tuple[Client, PrometheusServer], query: str
) -> None:
    query = query.replace("{end}", str(END.timestamp()))
    start, end = (END - BESIDE - timedelta(minutes=30)).timestamp(), (END - BESIDE).timestamp()
    ours, theirs = _asked(both, "/api/v1/query", query=query, time=end)
    assert _comparable(ours) == _comparable(theirs, exact=False)
    if query not in ('"text"', "cpu_user_pct[2m]"):
        ours, theirs = _asked(
            both, "/api/v1/query_range", query=query, start=start, end=END.timestamp(), step="50s"
        )  # fmt: skip
        assert _comparable(ours) == _comparable(theirs, exact=False)
        return
    ours, theirs = _asked(both, "/api/v1/query", query=query, time=start + 300)
    assert _comparable(ours) == _comparable(theirs, exact=False)


@pytest.mark.parametrize("query", ORDERED)
def test_an_order_is_that_of_prometheus(both: tuple[Client, PrometheusServer], query: str) -> None:
    ours, theirs = _asked(both, "/api/v1/query", query=query, time=END.timestamp())
    by_value = "topk" not in query and "bottomk" not in query
    assert _comparable(ours, by_value) == _comparable(theirs, by_value, False)


@pytest.mark.parametrize("query", REFUSED)
def test_what_prometheus_refuses_is_refused(
    both: tuple[Client, PrometheusServer], query: str
) -> None:
    ours, theirs = _asked(both, "/api/v1/query", query=query, time=END.timestamp())
    assert theirs["status"] == "error"
    assert (ours["status"], ours["errorType"]) == ("error", theirs["errorType"])
    assert ours["error"]
