"""OpenAPI description at /schema: security schemes and request bodies of the push endpoints."""

from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import (
    Components,
    Example,
    OpenAPIMediaType,
    OpenAPIType,
    Parameter,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)

from storage.model.metrics import METRICS, Metric
from web.operations import SiteOperation

__all__ = ["KEYS", "SECURITY", "LinesOperation", "RecordsOperation", "SeriesOperation"]

KEYS = Components(
    security_schemes={
        "key": SecurityScheme(
            "apiKey", name="X-API-Key", security_scheme_in="header",
            description="created with 'hoursight keys create'",
        ),
        "bearer": SecurityScheme("http", scheme="bearer", description="the key as token"),
        "basic": SecurityScheme(
            "http", scheme="basic", description="the key as password, with any user"
        ),
    }
)  # fmt: skip
# The empty scheme: while no key exists, requests from this machine need none.
SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}, {"basic": []}, {}]

_NUMBER_OR_NULL: list[OpenAPIType] = [OpenAPIType.NUMBER, OpenAPIType.NULL]
_RECORD = {
    "server": "ppdb001", "timestamp": "2026-05-06T12:00:00Z", "cpu_user_pct": 12.5,
    "mem_used_pct": 61, "load_average": 1.2, "profile": "database",
}  # fmt: skip
_LINES = """\
mem,host=ppdb001 available_percent=39 1778068800000000000
system,host=ppdb001 load1=1.2 1778068800000000000"""


def _metric(metric: Metric) -> Schema:
    unit = f" [{metric.unit}]" if metric.unit else ""
    return Schema(
        type=_NUMBER_OR_NULL, minimum=metric.lowest, maximum=metric.highest,
        description=f"{metric.meaning}{unit}",
    )  # fmt: skip


_RECORDS = Schema(
    type=OpenAPIType.ARRAY, max_items=10_000,
    items=Schema(
        type=OpenAPIType.OBJECT, required=["server", "timestamp"],
        properties={
            "server": Schema(type=OpenAPIType.STRING, min_length=1, max_length=253),
            "timestamp": Schema(one_of=[
                Schema(type=OpenAPIType.STRING, description="ISO 8601 with a time zone"),
                Schema(
                    type=OpenAPIType.NUMBER, minimum=31_536_000,
                    description="epoch time in seconds, or in the unit of ?time=",
                ),
            ]),
            **{metric.name: _metric(metric) for metric in METRICS},
            "profile": Schema(type=OpenAPIType.STRING), "site": Schema(type=OpenAPIType.STRING),
            "cores": Schema(type=OpenAPIType.INTEGER, minimum=1),
        },
        description="a missing metric is absent or null; at least one is required",
    ),
)  # fmt: skip
_FEED = Schema(
    one_of=[
        _RECORDS,
        Schema(type=OpenAPIType.OBJECT, required=["records"], properties={"records": _RECORDS}),
    ]
)


def _choice(name: str, values: list[str], default: str, description: str) -> Parameter:
    schema = Schema(type=OpenAPIType.STRING, enum=values, default=default)
    return Parameter(name, "query", schema=schema, description=description, required=False)


def _encoding(name: str) -> Parameter:
    schema = Schema(type=OpenAPIType.STRING, enum=[name])
    return Parameter("Content-Encoding", "header", schema=schema, required=True)


def _body(
    media_type: str, description: str, schema: Schema, *, required: bool = True, **examples: Any
) -> RequestBody:  # fmt: skip
    named: dict[str, Example | Reference] = {
        name: Example(value=value) for name, value in examples.items()
    }
    content = {media_type: OpenAPIMediaType(schema=schema, examples=named or None)}
    return RequestBody(content=content, description=description, required=required)


@dataclass
class RecordsOperation(SiteOperation):
    """`POST /feed`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parameters = [_choice("time", ["s", "ms", "us", "ns"], "s", "unit of epoch times")]
        self.request_body = _body(
            "application/json", "at most 10,000 records; Content-Encoding: gzip is accepted", _FEED,
            list=[_RECORD], object={"records": [_RECORD]},
        )  # fmt: skip


@dataclass
class LinesOperation(SiteOperation):
    """`POST /api/v2/write`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        units = ["ns", "us", "ms", "s", "n", "u", "m", "h"]
        self.parameters = [_choice("precision", units, "ns", "unit of the times in lines")]
        self.request_body = _body(
            "text/plain", "InfluxDB line protocol; Content-Encoding: gzip is accepted",
            Schema(type=OpenAPIType.STRING), required=False, telegraf=_LINES,
        )  # fmt: skip


@dataclass
class SeriesOperation(SiteOperation):
    """`POST /api/v1/write`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.parameters = [_encoding("snappy")]
        self.request_body = _body(
            "application/x-protobuf", "prometheus.WriteRequest with Content-Encoding: snappy",
            Schema(type=OpenAPIType.STRING, content_encoding="snappy"),
        )  # fmt: skip
