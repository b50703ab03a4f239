"""Predictions as data: of all servers, the forecast of one, and why it is at risk."""

from datetime import datetime
from typing import Any

from anyio import to_thread
from litestar import MediaType, Response, get
from litestar.params import FromPath

from storage.model.names import is_name
from storage.query.reader import Reader
from web.display.exports import encode_json
from web.http_errors import HttpRejection
from web.lake_session import LakeSession, sql
from web.operations import JSON, answering
from web.rendering import TheLake, TheTime

__all__ = ["current_predictions", "explain", "predict"]


@get(
    ["/predictions/current", "/api/v1/predictions/current"],
    summary="What is expected of each server, the highest risk first",
    operation_class=answering(JSON),
)  # fmt: skip
async def current_predictions(lake: TheLake, request_time: TheTime) -> Response[bytes]:
    """Risk, odds of a breach by lead, the likeliest metric and time, and the reasons."""
    return _json(await to_thread.run_sync(_predictions, lake, request_time))


@get(
    ["/predict/{server:path}", "/api/v1/predict/{server:path}"],
    summary="The newest forecast of one server", operation_class=answering(JSON),
)  # fmt: skip
async def predict(lake: TheLake, request_time: TheTime, server: FromPath[str]) -> Response[bytes]:
    """Each metric's quantiles for the 5-minute steps ahead (`ts` is a step's start).

    A metric without a forecast is absent, and `forecast_why` says why. 404: unknown server.
    """
    name = server.removeprefix("/")
    known, metrics = await to_thread.run_sync(_about, lake, "predict", name, request_time)
    state = {key: known[key] for key in ("server", "forecast_at", "forecast_state", "forecast_why")}
    return _json(state | {"metrics": metrics})


@get(
    ["/explain/{server:path}", "/api/v1/explain/{server:path}"],
    summary="Why a server is at risk", operation_class=answering(JSON),
)  # fmt: skip
async def explain(lake: TheLake, request_time: TheTime, server: FromPath[str]) -> Response[bytes]:
    """The score with its reasons, and the odds of each metric with what raises them.

    404: unknown server.
    """
    name = server.removeprefix("/")
    known, odds = await to_thread.run_sync(_about, lake, "explain", name, request_time)
    return _json(known | {"odds": odds})


def _predictions(lake: LakeSession, now: datetime) -> list[dict[str, Any]]:
    with lake.snapshot() as reader:
        rows: list[dict[str, Any]] = reader.query(
            sql("predictions"), now=now, server=None
        ).to_pylist()
    return rows


def _about(
    lake: LakeSession, query: str, name: str, now: datetime
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return what is expected of a server, and the rows of `query` about it."""
    with lake.snapshot() as reader:
        known = _known(reader, name, now)
        return known, reader.query(sql(query), server=name, now=now).to_pylist()


def _known(reader: Reader, name: str, now: datetime) -> dict[str, Any]:
    """Return what is expected of a server. Raises a rejection if there is none of that name."""
    # No table has an invalid name, and a NUL in a filter makes DuckLake's own query fail.
    rows = (
        reader.query(sql("predictions"), now=now, server=name).to_pylist() if is_name(name) else []
    )
    if not rows:
        raise HttpRejection(
            404, f"server {name!r} not found", "'/predictions/current' lists the servers"
        )
    row: dict[str, Any] = rows[0]
    return row


def _json(value: Any) -> Response[bytes]:
    return Response(
        encode_json(value), media_type=MediaType.JSON, headers={"Cache-Control": "no-store"}
    )
