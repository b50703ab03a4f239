"""Grafana's dashboards over the Prometheus API of the site, written to docs/grafana.

    python -m scripts.tools.grafana_dashboards

They ask for times up to 8 hours ahead, where the site answers with quantiles of the forecast.
"""

from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

__all__ = ["FOLDER", "dashboards"]

FOLDER = Path(__file__).parents[2] / "docs" / "grafana"
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${source}")
PAST, AHEAD = "now-24h", "now+8h"
# Title, metric, unit of Grafana, and how the metric is shown.
PANELS = (
    ("CPU used", "cpu_idle_pct", "percent", "100 - {}"),
    ("Memory used", "mem_used_pct", "percent", "{}"),
    ("Disk used, fullest volume", "disk_usage_pct", "percent", "{}"),
    ("Swap used", "swap_used_pct", "percent", "{}"),
    ("I/O wait", "cpu_iowait_pct", "percent", "{}"),
    ("Load", "load_average", "short", "{}"),
    ("Network in", "net_in_mb_s", "MBs", "{}"),
    ("Network out", "net_out_mb_s", "MBs", "{}"),
)


def dashboards() -> dict[str, str]:
    """Return the JSON of each dashboard by the name of its file."""
    built = {"hoursight-fleet.json": _fleet(), "hoursight-server.json": _server()}
    return {
        name: JSONEncoder(sort_keys=True, indent=2).encode(each.build()) + "\n"
        for name, each in built.items()
    }


def _dashboard(uid: str, title: str, description: str) -> dashboard.Dashboard:
    source = dashboard.DatasourceVariable("source").label("Hoursight").type("prometheus")
    return (
        dashboard.Dashboard(title).uid(uid).description(description).tags(["hoursight"])
        .time(PAST, AHEAD).refresh("1m").timezone("browser").readonly().with_variable(source)
    )  # fmt: skip


def _query(expression: str, legend: str, instant: bool = False) -> prometheus.Dataquery:
    query = prometheus.Dataquery().expr(expression).legend_format(legend).datasource(SOURCE)
    return query.instant() if instant else query.range()


def _server() -> dashboard.Dashboard:
    servers = (
        dashboard.QueryVariable("server").label("Server").datasource(SOURCE)
        .query("label_values(load_average, server)")
    )  # fmt: skip
    built = _dashboard(
        "hoursight-server", "Hoursight: one server",
        "What was measured, and the quantiles of what is forecast for the next 8 hours.",
    ).with_variable(servers)  # fmt: skip
    for title, metric, unit, shown in PANELS:
        built = built.with_panel(_fan(title, metric, unit, shown))
    return built


def _fan(title: str, metric: str, unit: str, shown: str) -> timeseries.Panel:
    """A panel with the measured line, the median, and the band that holds 80 % of cases."""

    def of(quantile: str) -> str:
        return shown.format(f'{metric}{{server="$server",quantile="{quantile}"}}')

    panel = (
        timeseries.Panel().title(title).datasource(SOURCE).unit(unit).span(12).height(8)
        .with_target(_query(of(""), "measured"))
        .with_target(_query(of("0.5"), "forecast, median"))
        .with_target(_query(of("0.1"), "10 %"))
        .with_target(_query(of("0.9"), "90 %"))
        .show_points(common.VisibilityMode.NEVER)
    )  # fmt: skip
    low, high = ("90 %", "10 %") if shown != "{}" else ("10 %", "90 %")
    dashed = common.LineStyle(fill="dash", dash=[6, 4])
    return (
        panel.override_by_name("forecast, median", [_property("custom.lineStyle", dashed)])
        .override_by_name(high, [
            _property("custom.fillBelowTo", low), _property("custom.lineWidth", 0),
        ])
        .override_by_name(low, [_property("custom.lineWidth", 0)])
    )  # fmt: skip


def _property(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(id_val=name, value=value)


def _fleet() -> dashboard.Dashboard:
    return (
        _dashboard(
            "hoursight-fleet", "Hoursight: the fleet ahead",
            "Which servers are going to be in trouble in the next 8 hours.",
        )
        .with_panel(_count("Above 85 % memory in 2 h, with odds of 1 in 10",
                           'count(mem_used_pct{quantile="0.9"} offset -2h > 85) or vector(0)'))
        .with_panel(_count("Below 15 % idle CPU in 2 h, with odds of 1 in 10",
                           'count(cpu_idle_pct{quantile="0.1"} offset -2h < 15) or vector(0)'))
        .with_panel(_count("Disks above 90 % in 8 h, with odds of 1 in 10",
                           'count(disk_usage_pct{quantile="0.9"} offset -475m > 90) or vector(0)'))
        .with_panel(
            table.Panel().title("Open alerts are on the site; here: the fullest memory ahead")
            .datasource(SOURCE).span(24).height(8)
            .with_target(_query(
                'topk(10, mem_used_pct{quantile="0.9"} offset -2h)', "{{server}}", instant=True
            ))
        )
        .with_panel(_spread("Memory used, every server", "mem_used_pct"))
        .with_panel(_spread("Disk used, every server", "disk_usage_pct"))
    )  # fmt: skip


def _count(title: str, expression: str) -> stat.Panel:
    return (
        stat.Panel().title(title).datasource(SOURCE).span(8).height(4)
        .with_target(_query(expression, "servers", instant=True))
    )  # fmt: skip


def _spread(title: str, metric: str) -> timeseries.Panel:
    """The fleet's median and highest server, measured and as the median of the forecast."""
    panel = timeseries.Panel().title(title).datasource(SOURCE).unit("percent").span(12).height(8)
    for quantile, when in (("", "measured"), ("0.5", "forecast")):
        series = f'{metric}{{quantile="{quantile}"}}'
        panel = panel.with_target(_query(f"max({series})", f"highest, {when}"))
        panel = panel.with_target(_query(f"quantile(0.5, {series})", f"median, {when}"))
    return panel.show_points(common.VisibilityMode.NEVER)


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for name, text in dashboards().items():
        (FOLDER / name).write_text(text)
        print(FOLDER / name)


if __name__ == "__main__":
    main()
