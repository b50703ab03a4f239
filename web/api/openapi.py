"""What the description of the API (OpenAPI, at /schema) says of keys and of pushed bodies."""

from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import (
    Components,
    Example,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)

from storage.model.metrics import METRICS, Metric

__all__ = ["KEYS", "SECURITY", "LinesOperation", "RecordsOperation", "SeriesOperation"]

KEYS = Components(
    security_schemes={
        "key": SecurityScheme(
            "apiKey", name="X-API-Key", security_scheme_in="header",
            description="made by 'hoursight keys create'",
        ),
        "bearer": SecurityScheme("http", scheme="bearer", description="the key as token"),
        "basic": SecurityScheme(
            "http", scheme="basic", description="the key as password, with any user"
        ),
    }
)  # fmt: skip
# None is needed from this machine while the site listens on a loopback address: the empty one.
SECURITY: list[dict[str, list[str]]] = [{"key": []}, {"bearer": []}, {"basic": []}, {}]

_NUMBER_OR_NOTHING: list[OpenAPIType] = [OpenAPIType.NUMBER, OpenAPIType.NULL]
_RECORD = {
    "server": "ppdb001", "timestamp": "2026-05-06T12:00:00Z", "cpu_user_pct": 12.5,
    "mem_used_pct": 61, "load_average": 1.2, "profile": "database",
}  # fmt: skip
_LINES = """\
mem,host=ppdb001 available_percent=39 1778068800
system,host=ppdb001 load1=1.2 1778068800"""


def _metric(metric: Metric) -> Schema:
    unit = f" [{metric.unit}]" if metric.unit else ""
    return Schema(
        type=_NUMBER_OR_NOTHING, minimum=metric.lowest, maximum=metric.highest,
        description=f"{metric.meaning}{unit}",
    )  # fmt: skip


_RECORDS = Schema(
    type=OpenAPIType.ARRAY, max_items=10_000,
    items=Schema(
        type=OpenAPIType.OBJECT, required=["server", "timestamp"],
        properties={
            "server": Schema(type=OpenAPIType.STRING, min_length=1, max_length=253),
            "timestamp": Schema(one_of=[
                Schema(type=OpenAPIType.STRING, description="ISO 8601 with a zone"),
                Schema(
                    type=OpenAPIType.NUMBER, minimum=31_536_000,
                    description="epoch seconds, or as ?time= says",
                ),
            ]),
            **{metric.name: _metric(metric) for metric in METRICS},
            "profile": Schema(type=OpenAPIType.STRING), "site": Schema(type=OpenAPIType.STRING),
            "cores": Schema(type=OpenAPIType.INTEGER, minimum=1),
        },
        description="a metric that is missing is left out or null; at least one is there",
    ),
)  # fmt: skip
_FEED = Schema(
    one_of=[
        _RECORDS,
        Schema(type=OpenAPIType.OBJECT, required=["records"], properties={"records": _RECORDS}),
    ]
)


def _choice(name: str, values: list[str], default: str, what: str) -> Parameter:
    schema = Schema(type=OpenAPIType.STRING, enum=values, default=default)
    return Parameter(name, "query", schema=schema, description=what, required=False)


def _body(
    media_type: str, what: str, schema: Schema, *, required: bool = True, **examples: Any
) -> RequestBody:  # fmt: skip
    shown: dict[str, Example | Reference] = {
        name: Example(value=value) for name, value in examples.items()
    }
    content = {media_type: OpenAPIMediaType(schema=schema, examples=shown or None)}
    return RequestBody(content=content, description=what, required=required)


@dataclass
class RecordsOperation(Operation):
    """`POST /feed`."""

    def __post_init__(self) -> None:
        self.parameters = [
            _choice("time", ["s", "ms", "us", "ns"], "s", "what epoch times count in")
        ]
        self.request_body = _body(
            "application/json", "at most 10,000 records; Content-Encoding: gzip is taken", _FEED,
            list=[_RECORD], object={"records": [_RECORD]},
        )  # fmt: skip


@dataclass
class LinesOperation(Operation):
    """`POST /api/v2/write`."""

    def __post_init__(self) -> None:
        units = ["ns", "us", "ms", "s", "n", "u", "m", "h"]
        self.parameters = [_choice("precision", units, "ns", "what the times of lines count in")]
        self.request_body = _body(
            "text/plain", "InfluxDB line protocol; Content-Encoding: gzip is taken",
            Schema(type=OpenAPIType.STRING), required=False, telegraf=_LINES,
        )  # fmt: skip


@dataclass
class SeriesOperation(Operation):
    """`POST /api/v1/write`."""

    def __post_init__(self) -> None:
        self.request_body = _body(
            "application/x-protobuf", "prometheus.WriteRequest with Content-Encoding: snappy",
            Schema(type=OpenAPIType.STRING, content_encoding="snappy"),
        )  # fmt: skip
