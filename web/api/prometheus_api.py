"""Prometheus's HTTP API over the lake; asked for a time ahead, it answers with forecasts.

Grafana, promtool and other clients of Prometheus read it. See docs/monitoring.md.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from importlib import metadata as packages
from typing import Any

import msgspec
import numpy as np
from anyio import to_thread
from litestar import MediaType, Response, get, route
from litestar.params import FromPath
from litestar.types import Method

from storage.config.settings import schema_of
from storage.model.grid import QUANTILES
from storage.model.metrics import Metric
from web.http_errors import Overloaded
from web.lake_session import LakeMissing, LakeSession, LakeUnreadable, QueryFailed, sql
from web.operations import JSON, PAGE, PROBLEM, answering
from web.promql.errors import BadData, PromqlError
from web.promql.evaluation import evaluated, parsed, raw_samples
from web.promql.request_fields import (
    Fields,
    fields_of,
    limit_in,
    one,
    selectors_in,
    step_in,
    time_in,
)
from web.promql.samples import Grid, LakeSamples
from web.promql.vectors import Labels, Vector
from web.rendering import SiteRequest, TheLake
from web.turns import Turns

__all__ = ["PROMETHEUS", "promql_turns"]

MAX_POINTS = 11_000  # of a series, as Prometheus
MAX_VALUES = 2_000_000  # of an answer
# Errors of the query itself have the shape of Prometheus.
_OPERATION = answering(JSON, errors=(JSON, PROBLEM, PAGE))
_GET_OR_POST: Sequence[Method] = ("GET", "POST")
_LABEL_NAMES = ("__name__", "ml_forecast", "profile", "quantile", "server", "site")


def promql_turns() -> Turns:
    """Turns of queries: they compute in this process, and pages need a core as well."""
    return Turns("PromQL queries", 2, 64, 10.0)


@contextmanager
def _samples(lake: LakeSession, now: datetime) -> Iterator[LakeSamples]:
    with lake.snapshot() as reader:
        schema = schema_of(lake.folders)
        kept = schema.table("metrics").retention or timedelta(days=10_000)
        yield LakeSamples(reader, schema.metrics, now, kept)


@route("/api/v1/query", http_method=_GET_OR_POST, status_code=200,
       summary="PromQL at one time", operation_class=_OPERATION)  # fmt: skip
async def query(request: SiteRequest, lake: TheLake) -> Response[bytes]:
    """`query`, and `time` (now without it): of a time ahead the quantiles of the forecast.

    The fields come in the URL or in a form. 400: the query cannot be read or has a part that is
    not offered; 422: it cannot be answered; `error` says why.
    """
    return await _answered(request, lake, _instant)


def _instant(fields: Fields, samples: LakeSamples) -> tuple[Any, list[str]]:
    text = one(fields, "query")
    at = time_in(fields, "time", samples.now.timestamp())
    node = parsed(text)
    if type(node).__name__ == "MatrixSelector":
        found = raw_samples(node, samples, at)
        result = [
            {"metric": dict(labels), "values": _pairs(ts, values)} for labels, ts, values in found
        ]
        return {"resultType": "matrix", "result": result}, samples.notes
    value = evaluated(node, samples, Grid(np.array([at])))
    if isinstance(value, str):
        return {"resultType": "string", "result": [at, value]}, samples.notes
    if isinstance(value, Vector):
        return {"resultType": "vector", "result": [
            {"metric": dict(labels), "value": [at, _number(row[0])]}
            for labels, row in zip(value.labels, value.values, strict=True) if not np.isnan(row[0])
        ]}, samples.notes  # fmt: skip
    return {"resultType": "scalar", "result": [at, _number(float(value[0]))]}, samples.notes


@route("/api/v1/query_range", http_method=_GET_OR_POST, status_code=200,
       summary="PromQL over a range of time", operation_class=_OPERATION)  # fmt: skip
async def query_range(request: SiteRequest, lake: TheLake) -> Response[bytes]:
    """`query`, `start`, `end` and `step`; what lies ahead are quantiles of the forecast."""
    return await _answered(request, lake, _range)


def _range(fields: Fields, samples: LakeSamples) -> tuple[Any, list[str]]:
    text = one(fields, "query")
    start, end, step = time_in(fields, "start"), time_in(fields, "end"), step_in(fields)
    if end < start:
        raise BadData("invalid parameter 'end': end timestamp must not be before start time")
    points = math.floor((end - start) / step) + 1
    if points > MAX_POINTS:
        raise BadData(
            f"exceeded maximum resolution of {MAX_POINTS:,} points per timeseries. Try decreasing "
            "the query resolution (?step=XX)"
        )
    node = parsed(text)
    grid = Grid(start + step * np.arange(points, dtype=np.float64), step)
    value = evaluated(node, samples, grid)
    if isinstance(value, str):
        raise BadData("invalid expression type 'string' for range query, must be scalar or vector")
    vector = value if isinstance(value, Vector) else Vector(((),), value[None, :])
    if vector.values.size > MAX_VALUES:
        raise PromqlError(
            f"the answer has more than {MAX_VALUES:,} values", "name fewer servers or a wider step"
        )
    result = [
        {"metric": dict(labels), "values": _pairs(grid.times, row)}
        for labels, row in sorted(zip(vector.labels, vector.values, strict=True), key=_by_labels)
    ]
    return {"resultType": "matrix", "result": [r for r in result if r["values"]]}, samples.notes


def _by_labels(series: tuple[Labels, Any]) -> Labels:
    return series[0]


@route("/api/v1/labels", http_method=_GET_OR_POST, status_code=200,
       summary="Names of labels", operation_class=_OPERATION)  # fmt: skip
async def labels(request: SiteRequest, lake: TheLake) -> Response[bytes]:
    """The labels of the series that `match[]` selects, or of all."""
    return await _answered(request, lake, _label_names)


def _label_names(fields: Fields, samples: LakeSamples) -> tuple[Any, list[str]]:
    selectors = selectors_in(fields)
    if not selectors:
        return list(_LABEL_NAMES), []
    found = {
        name for each in selectors for labels in samples.label_sets(each) for name, _ in labels
    }
    return sorted(found | {"quantile"} if found else found), []


@get("/api/v1/label/{name:str}/values", summary="Values of a label",
     operation_class=_OPERATION)  # fmt: skip
async def label_values(request: SiteRequest, lake: TheLake, name: FromPath[str]) -> Response[bytes]:
    """The values of one label in the series that `match[]` selects, or in all."""

    def values(fields: Fields, samples: LakeSamples) -> tuple[Any, list[str]]:
        return _values_of(name, fields, samples), []

    return await _answered(request, lake, values)


def _values_of(name: str, fields: Fields, samples: LakeSamples) -> list[str]:
    selectors = selectors_in(fields)
    if selectors:
        sets = (dict(labels) for each in selectors for labels in samples.label_sets(each))
        found = {labels[name] for labels in sets if name in labels}
    elif name == "__name__":
        found = set(samples.names())
    elif name in ("server", "profile", "site"):
        found = {labels[name] for labels in samples.servers().values() if name in labels}
    else:
        found = {"yhat", "yhat_lower", "yhat_upper"} if name == "ml_forecast" else set()
    if name == "quantile":
        found = {f"{q:g}" for q in QUANTILES}
    return sorted(found)[: limit_in(fields)]


@route("/api/v1/series", http_method=_GET_OR_POST, status_code=200,
       summary="Series by their labels", operation_class=_OPERATION)  # fmt: skip
async def series(request: SiteRequest, lake: TheLake) -> Response[bytes]:
    """The labels of the series that `match[]` selects; those of the future have `quantile` too."""
    return await _answered(request, lake, _series)


def _series(fields: Fields, samples: LakeSamples) -> tuple[Any, list[str]]:
    selectors = selectors_in(fields)
    if not selectors:
        raise BadData("no match[] parameter provided")
    found = dict.fromkeys(labels for each in selectors for labels in samples.label_sets(each))
    return [dict(labels) for labels in list(found)[: limit_in(fields)]], []


@get("/api/v1/metadata", summary="Type, unit and meaning of each metric",
     operation_class=_OPERATION)  # fmt: skip
async def metric_metadata(request: SiteRequest, lake: TheLake) -> Response[bytes]:
    """Of each metric, or of the one called `metric`."""

    def described(fields: Fields, samples: LakeSamples) -> tuple[Any, list[str]]:
        wanted = (fields.get("metric") or [""])[0]
        chosen = [m for m in samples.metrics if wanted in ("", m.name)][: limit_in(fields)]
        return {m.name: [_described(m)] for m in chosen}, []

    return await _answered(request, lake, described)


def _described(metric: Metric) -> dict[str, str]:
    return {"type": "gauge", "help": metric.meaning, "unit": metric.unit}


@get("/api/v1/status/buildinfo", summary="Version, as Prometheus tells its own",
     operation_class=_OPERATION)  # fmt: skip
async def buildinfo() -> Response[bytes]:
    """The version of Hoursight. Without `features`, clients expect no ruler and no exemplars."""
    names = ("revision", "branch", "buildUser", "buildDate", "goVersion")
    version = packages.version("hoursight")
    return _success({"version": version, **dict.fromkeys(names, "")}, [])


@get("/api/v1/alerts", sync_to_thread=True, summary="Open alerts, as Prometheus lists its own",
     operation_class=_OPERATION)  # fmt: skip
def prometheus_alerts(lake: TheLake) -> Response[bytes]:
    """The open episodes: `pending` while they are predicted, `firing` once they have breached."""
    with lake.snapshot() as reader:
        rows = reader.query(sql("prometheus_alerts"), now=datetime.now(UTC)).to_pylist()
    return _success({"alerts": [_alert(row) for row in rows]}, [])


def _alert(row: dict[str, Any]) -> dict[str, Any]:
    named = {"alertname": row["rule"], "severity": row["severity"], **{
        name: row[name] for name in ("server", "metric", "profile", "site") if row[name]
    }}  # fmt: skip
    value = math.nan if row["value"] is None else row["value"]
    return {
        "labels": named, "annotations": {"summary": row["why"] or "", "episode": row["episode"]},
        "state": "pending" if row["phase"] == "predicted" else "firing",
        "activeAt": row["opened_at"], "value": _number(value),
    }  # fmt: skip


@get(["/api/v1/rules", "/api/v1/rules/{rest:path}"], status_code=404, include_in_schema=False)
async def no_ruler(rest: FromPath[str] = "") -> Response[str]:  # noqa: ARG001 - any path
    """There is no ruler of Prometheus: clients look for these words."""
    return Response("404 page not found", status_code=404, media_type=MediaType.TEXT)


async def _answered(
    request: SiteRequest, lake: LakeSession,
    answer: Callable[[Fields, LakeSamples], tuple[Any, list[str]]],
) -> Response[bytes]:  # fmt: skip
    """Answer in a thread, with errors as Prometheus words them."""
    try:
        fields = await fields_of(request)
        async with request.app.state.promql_turns.turn():
            return await to_thread.run_sync(_computed, lake, fields, answer)
    except PromqlError as error:
        return _error(error.status, error.kind, error)
    except (LakeMissing, LakeUnreadable, QueryFailed, Overloaded) as error:
        return _error(503, "unavailable", error)


def _computed(
    lake: LakeSession, fields: Fields, answer: Callable[[Fields, LakeSamples], Any]
) -> Response[bytes]:
    with _samples(lake, datetime.now(UTC)) as samples:
        return _success(*answer(fields, samples))


def _pairs(times: Any, values: Any) -> list[tuple[float, str]]:
    known = ~np.isnan(values)
    return [
        (t, _number(v)) for t, v in zip(times[known].tolist(), values[known].tolist(), strict=True)
    ]


def _number(value: float) -> str:
    """Return a number as Prometheus writes it."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    text = repr(float(value))
    return text if "e" not in text else np.format_float_positional(value, trim="-")


def _success(data: Any, notes: Sequence[str]) -> Response[bytes]:
    body = {"status": "success", "data": data} | (
        {"infos": list(dict.fromkeys(notes))} if notes else {}
    )
    return _json(200, body)


def _error(status: int, kind: str, error: Exception) -> Response[bytes]:
    message = getattr(error, "detail", None) or str(error)
    return _json(status, {"status": "error", "errorType": kind, "error": message})


def _json(status: int, body: dict[str, Any]) -> Response[bytes]:
    return Response(
        msgspec.json.encode(body), status_code=status, media_type=MediaType.JSON,
        headers={"Cache-Control": "no-store"},
    )  # fmt: skip


PROMETHEUS = (
    query, query_range, labels, label_values, series, metric_metadata, buildinfo, prometheus_alerts,
    no_ruler,
)  # fmt: skip
