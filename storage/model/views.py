"""Public views of the lake: their columns and meaning; their SQL is in sql/views.

A view shows the present. The same text serves queries as of another time: in it `{now}` is that
time, and `{name}` another view.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from storage.model.block_ratios import block_ratios
from storage.model.grid import BAND_LEVELS, QUANTILE_COLUMNS, QUANTILES
from storage.model.metrics import METRICS
from storage.model.schema import TIMESTAMP, Column, table

__all__ = ["VIEWS", "View", "as_of_now"]

# Rows from the future, of a clock that was ahead, do not hide the present.
_PRESENT = {"now": "now()"}
_AS_OF = {"now": "$now"}
ACCURACY_GOAL = 0.88  # share of targets whose median is within 10 % of the scale
_FOLDER = Path(__file__).parents[1] / "sql" / "views"


@dataclass(frozen=True)
class View:
    """A view of the lake; the first line of its SQL says what it shows."""

    name: str
    columns: tuple[Column, ...]

    @property
    def text(self) -> str:
        """Its query, with placeholders for times and other views."""
        return _filled((_FOLDER / f"{self.name}.sql").read_text(), _generated())

    @property
    def sql(self) -> str:
        """The query of the view itself."""
        return self.sql_at(_PRESENT["now"])

    def sql_at(self, now: str) -> str:
        """The query of the view with the SQL expression `now` in place of the present."""
        return _filled(self.text, {"now": now} | {view.name: view.name for view in VIEWS})

    @property
    def purpose(self) -> str:
        """What it shows."""
        return self.text.split("\n", 1)[0].removeprefix("-- ")


def _of(source: str, *names: str) -> tuple[Column, ...]:
    """Columns of a view that come from a table."""
    by_name = {column.name: column for column in table(source).columns}
    return tuple(by_name[name] for name in names)


def _text(name: str, meaning: str) -> Column:
    return Column(name, pa.string(), meaning)


def _time(name: str, meaning: str) -> Column:
    return Column(name, TIMESTAMP, meaning)


_SERVERS = (
    *_of("server_facts", "server", "profile", "site", "cores", "disk_volume", "net_links"),
    _time("first_seen", "time of its first sample or fact"),
)

_POINTS = (
    *_of("forecasts", "server", "metric", "issued_at", "made_at", "model", "state"),
    _time("ts", "start of the 5-minute step that is forecast"),
    Column("lead_minutes", pa.int64(), "from issued_at to the end of the step"),
    *(
        Column(name, pa.float32(), f"quantile {q:g} of the step's mean")
        for name, q in zip(QUANTILE_COLUMNS, QUANTILES, strict=True)
    ),
)

_RISK = [name for name in table("risks").names if name not in ("server", "issued_at")]

_ALERTS = (
    *_of("alert_events", "episode", "server", "metric", "rule", "phase", "severity"),
    _time("opened_at", "when its first event was recorded"),
    _text("opened_as", "its first phase: predicted, breached or no data"),
    *_of("alert_events", "breached_at"),
    _time("ended_at", "when it ended; NULL: it is open"),
    _text(
        "outcome",
        "right, wrong, withdrawn, averted, missed, again (a breach soon after another) "
        "or open; NULL: of missing data",
    ),
    Column("silent_arm", pa.bool_(), "true if it is one of those that nobody is sent"),
    _time("changed_at", "when its newest event was recorded"),
    *_of("alert_events", "event", "escalation"),
    Column("lead_minutes", pa.int64(), "from the warning to the breach, at most 480"),
    *_of("alert_events", "value", "threshold", "p"),
    Column("horizon_minutes", pa.int32(), "the horizon of these odds"),
    *_of("alert_events", "earliest", "likely", "latest", "closes_at"),
    _text("answered_by", "who acknowledged it first"),
    Column("acted_on", pa.bool_(), "true if somebody acted on it, or the server was rebooted"),
    *_of("alert_events", "profile", "site", "group_key", "group_id", "caused_by", "channels"),
    *_of("alert_events", "why", "reasons"),
)


def _count(name: str, meaning: str) -> Column:
    return Column(name, pa.int64(), meaning)


def _share(name: str, meaning: str) -> Column:
    return Column(name, pa.float64(), meaning)


_ALERT_QUALITY = (
    *_of("alert_events", "rule"),
    _count("warnings", "episodes that opened before any breach"),
    _count("correct", "of these, those that a breach followed"),
    _count("wrong", "those whose time passed without a breach"),
    _count("withdrawn", "those that the forecast took back before"),
    _count("averted", "those that somebody acted on and that did not breach"),
    _count("still_open", "those that nobody can judge yet"),
    _count("missed", "breaches that no warning came before"),
    _share("precision", "correct / (correct + wrong + withdrawn); averted ones count neither way"),
    _share("recall", "correct / (correct + missed)"),
    _share("averted_share", "averted / warnings that ended or breached"),
    _count("silent_warnings", "warnings of the silent arm, which nobody was sent"),
    _share("silent_precision", "precision of these"),
    _share("median_lead_minutes", "median time from the warning to the breach, at most 480"),
    _share("p10_lead_minutes", "9 in 10 were longer"),
    _share("host_days", "days with samples since the rules run, summed over servers"),
    _share("false_per_host_day", "(wrong + withdrawn) / host_days"),
    _share("share_of_time_warned", "time under a warning / all time of all servers"),
)

_SERIES = (
    *_of("scores", "metric"),
    Column("bucket", pa.int16(), "lead bucket by its end in minutes; NULL: all leads"),
    *_of("scores", "model"),
)
_BASIS = (
    _count("servers", "servers with scores"),
    _count("days", "days with scores: below 3 the interval does not know how days differ"),
    _count("cases", "effective sample size: blocks of a server and 8 h"),
    _count("targets", "forecasts of 5-minute means that were compared"),
    _share("replayed", "share of these targets whose forecasts are of a replay of the history"),
)


def _interval(name: str, of: str) -> tuple[Column, Column]:
    """The columns of a 95 % interval."""
    return (
        _share(f"{name}_low", f"lower 95 % bound of {of}; NULL: fewer than 3 blocks"),
        _share(f"{name}_high", "upper 95 % bound"),
    )


_BLOCK_COUNTS = ("moving", "within_10", *(f"inside_{n}" for n in BAND_LEVELS),
                 *(f"inside_{n}_model" for n in BAND_LEVELS))  # fmt: skip
_BLOCK_SUMS = ("loss", "loss_model", "error", "error_naive", "error_seasonal")
_BLOCKS = (
    *_of("scores", "server", "metric", "bucket", "model"),
    _time("block", "start of the 8 hours"),
    *_of("scores", "targets"),
    _count("replayed", "targets whose forecasts are of a replay of the history; NULL: none"),
    _count("scaled", "targets on a scale that is known"),
    *_of("scores", *_BLOCK_COUNTS),
    *(_share(c.name, c.meaning) for c in _of("scores", *_BLOCK_SUMS)),
)
_SKILL = (
    *_SERIES,
    _share("skill", "1 − loss / error of the last value before the forecast"),
    *_interval("skill", "it"),
    _share("seasonal_skill", "1 − loss / error of the value 24 h before"),
    *_interval("seasonal_skill", "it"),
    _share("model_skill", "skill of the model's own quantiles, before calibration"),
    _share("loss", "mean loss of a target, in the metric's unit"),
    *_BASIS,
)
_ANY_SERIES = (_text("metric", "what was forecast; NULL: all metrics"), *_SERIES[1:])
_ACCURACY = (
    *_ANY_SERIES,
    _share("accuracy", "share of targets whose median was within 10 % of the scale"),
    *_interval("accuracy", "it"),
    Column("reaches_goal", pa.bool_(), f"true if it is {ACCURACY_GOAL:g} or more"),
    _share("skill", "as in the view skill; of all metrics: their mean"),
    _share("seasonal_skill", "as in the view skill; of all metrics: their mean"),
    *_BASIS,
)
_COVERAGE = (
    *_ANY_SERIES,
    Column("band", pa.int32(), "the central band in percent: 50, 80 or 96"),
    _share("inside", "share of targets inside the served band"),
    *_interval("inside", "it"),
    _share("inside_model", "share inside the model's own band, before calibration"),
    *_interval("inside_model", "it"),
    *_BASIS,
)

# Each after the views that it reads.
VIEWS: Sequence[View] = (
    View("servers", _SERVERS),
    View("forecast_points", _POINTS),
    View("forecast_latest", _POINTS),
    View(
        "blind_time",
        (
            *_of("forecasts", "server", "metric"),
            _time("day", "the day, in UTC"),
            _text("reason", "why none was served: no skill, too many gaps, far outside, no data …"),
            Column("forecasts", pa.int64(), "forecasts that were not served"),
            Column("hours", pa.float64(), "the time for which they would have been the newest"),
        ),
    ),
    View(
        "fleet_now",
        (
            *_SERVERS,
            _time("last_seen", "its newest sample of the last hour, else its newest 5-minute step"),
            Column("age_seconds", pa.int64(), "seconds since last_seen"),
            Column("context_steps", pa.int32(), "5-minute steps of the last 24 h, of 288"),
            *_of("risks", *_RISK),
            _time("risk_at", "time of that risk"),
            _time("forecast_at", "start of the first step of its newest forecast"),
            _time("forecast_made_at", "when that forecast was made"),
            _text("forecast_state", "its state: ok, early or abstained; NULL: there is none"),
            _text("forecast_why", "why it is not ok, in words"),
        ),
    ),
    View("score_blocks", _BLOCKS),
    View("skill", _SKILL),
    View("accuracy", _ACCURACY),
    View("coverage", _COVERAGE),
    View("alerts", _ALERTS),
    View("alert_quality", _ALERT_QUALITY),
    View(
        "model_history",
        (
            *_of("models", "model"),
            _time("live_from", "when it made its first forecasts"),
            _time("live_until", "when the next one did, or it could not be used; NULL: it serves"),
            _text("why", "why it served: promoted or rolled back, with the reason"),
        ),
    ),
)


def as_of_now(sql: str) -> str:
    """The query `sql` with each `{view}` replaced by a subquery of it as of `$now`."""
    filled = dict(_AS_OF)
    for view in VIEWS:  # each after the views that it reads
        filled[view.name] = f"(\n{_filled(view.text, filled)})"
    return _filled(sql, filled)


def _generated() -> dict[str, str]:
    """The generated SQL of views.

    The metric's bounds and each quantile's blend; the 97.5 % quantile of Student's t of so many
    blocks as a group has, less one.
    """
    blended = (_blended(place, name) for place, name in enumerate(QUANTILE_COLUMNS, start=1))
    return {
        "lowest": _bound({m.name: m.lowest for m in METRICS}),
        "highest": _bound({m.name: m.highest for m in METRICS if m.highest is not None}),
        "blended": ",\n    ".join(blended),
        "skill_ratios": block_ratios({
            "r": ("loss", "naive"), "s": ("loss", "seasonal"), "own": ("loss_model", "naive"),
        }),
        "accuracy_ratios": block_ratios({"r": ("near", "targets")}),
        "coverage_ratios": block_ratios({
            f"{short}_{level}": (f"{name}_{level}", "targets")
            for short, name in (("r", "served"), ("s", "own")) for level in BAND_LEVELS
        }),
        "goal": f"{ACCURACY_GOAL:g}",
    }  # fmt: skip


def _bound(of_metric: Mapping[str, float]) -> str:
    """The bound of the column `metric`, NULL where it has none."""
    cases = []
    for bound in sorted(set(of_metric.values())):
        names = ", ".join(f"'{name}'" for name in of_metric if of_metric[name] == bound)
        cases.append(f"WHEN metric IN ({names}) THEN {bound:g}")
    return f"(CASE {' '.join(cases)} END)::DOUBLE"


def _blended(place: int, name: str) -> str:
    """A served quantile by its column's name; `place` is that in lists, from 1."""
    calibrated = {"p02": "p50 - below_02", "p10": "p50 - below_10", "p25": "p50 - below_25"}
    calibrated |= {"p75": "p50 + above_75", "p90": "p50 + above_90", "p98": "p50 + above_98"}
    others = {
        "context_share": f"context[{place}]",
        "seasonal_share": f"seasonal[step]::DOUBLE + seasonal_band[7 * bucket + {place}]",
        "last_share": f"last_band[7 * bucket + {place}]",
    }
    terms = [f"model_share * {_clamped(calibrated.get(name, name))}"] + [
        f"CASE WHEN {share} > 0 THEN {share} * {_clamped(value)} ELSE 0 END"
        for share, value in others.items()
    ]
    return f"CASE WHEN as_it_is THEN {name} ELSE ({' + '.join(terms)})::FLOAT END AS {name}"


def _clamped(value: str) -> str:
    return f"greatest(least({value}, highest), lowest)"


def _filled(text: str, pieces: Mapping[str, str]) -> str:
    for name, piece in pieces.items():
        text = text.replace("{" + name + "}", piece)
    return text
