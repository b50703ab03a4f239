"""Small multiples: one metric of every server, sorted by its value now, ahead, or by its change."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.config.folders import Folders
from storage.config.settings import schema_of
from storage.model.metrics import METRIC_NAMES
from storage.query.reader import Reader
from web.display import formatting
from web.display.fleet_table import FleetTable
from web.display.metric_display import METRIC_DISPLAYS, MetricDisplay
from web.kept_results import KeptResults
from web.lake_session import sql

__all__ = ["SORTS", "Multiple", "metric_displays", "multiple", "read_multiples"]

SORTS = ("now", "ahead", "change")


@dataclass(frozen=True, slots=True)
class Multiple:
    """The texts of one metric of a server: its value, its change in an hour, and 8 h ahead."""

    value: str
    change: str
    ahead: str


def metric_displays(folders: Folders) -> dict[str, MetricDisplay]:
    """Return every metric of a data folder by name, those of its settings last."""
    own = [m for m in schema_of(folders).metrics if m.name not in METRIC_NAMES]
    displays = [*METRIC_DISPLAYS, *(MetricDisplay(m, m.label, m.label) for m in own)]
    return {display.name: display for display in displays}


def read_multiples(
    reader: Reader, kept: KeptResults, fleet: FleetTable, display: MetricDisplay, sort: str,
    parameters: Mapping[str, Any], now: datetime,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return the rows of the query `memory_multiples`, the worst first."""
    name = display.name
    present = kept.read(
        reader, "multiples", ["metrics_5m"], now,
        lambda: reader.query(sql("multiples").replace("{metric}", name), now=now), name,
    )  # fmt: skip
    ahead = kept.read(
        reader, "multiples_ahead", ["forecasts"], now,
        lambda: reader.query(sql("multiples_ahead"), now=now, metric=name), name,
    )  # fmt: skip
    low_is_bad = display.metric.bad_when == "low"
    rows: list[dict[str, Any]] = fleet.query(
        "memory_multiples", {"multiples": present, "multiples_ahead": ahead},
        sort=sort, sign=-1 if low_is_bad else 1, **parameters,
    ).to_pylist()  # fmt: skip
    return rows


def multiple(row: Mapping[str, Any], display: MetricDisplay) -> Multiple:
    """Return the texts of one row."""
    change = row["change_1h"]
    if change is not None and display.mirrored:
        change = -change
    sign = "+" if (change or 0) > 0 else ""
    return Multiple(
        formatting.reading(display.value(row["present"]), display.unit),
        "" if change is None else f"{sign}{formatting.reading(change, display.unit)} in 1 h",
        "" if row["ahead"] is None
        else f"{formatting.reading(display.value(row['ahead']), display.unit)} in 8 h",
    )  # fmt: skip
