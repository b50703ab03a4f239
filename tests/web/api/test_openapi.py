"""The OpenAPI description: security schemes and request bodies."""

from typing import Any

import pytest

from storage.model.metrics import METRICS
from tests.web.conftest import Client


@pytest.fixture(scope="module")
def schema(client: Client) -> dict[str, Any]:
    document: dict[str, Any] = client.get("/schema").json()
    return document


def body_of(schema: dict[str, Any], path: str) -> dict[str, Any]:
    body: dict[str, Any] = schema["paths"][path]["post"]["requestBody"]
    return body


def test_a_key_is_optional_and_accepted_in_three_ways(schema: dict[str, Any]) -> None:
    assert schema["security"] == [{"key": []}, {"bearer": []}, {"basic": []}, {}]


def test_a_record_has_each_metric_with_its_range_and_unit(schema: dict[str, Any]) -> None:
    (content,) = body_of(schema, "/feed")["content"].values()
    properties = content["schema"]["oneOf"][0]["items"]["properties"]
    for metric in METRICS:
        described = properties[metric.name]
        assert described["minimum"] == metric.lowest
        assert described.get("maximum") == metric.highest
        assert metric.unit in described["description"]


def test_a_list_has_at_most_ten_thousand_records(schema: dict[str, Any]) -> None:
    (content,) = body_of(schema, "/feed")["content"].values()
    assert content["schema"]["oneOf"][0]["maxItems"] == 10_000


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/feed", "application/json"), ("/write", "text/plain"), ("/api/v2/write", "text/plain"),
        ("/api/v1/write", "application/x-protobuf"),
    ],
)  # fmt: skip
def test_each_endpoint_names_its_media_type(
    schema: dict[str, Any], path: str, media_type: str
) -> None:
    assert list(body_of(schema, path)["content"]) == [media_type]


def test_units_of_times_are_listed_with_their_default(schema: dict[str, Any]) -> None:
    (time,) = schema["paths"]["/feed"]["post"]["parameters"]
    assert (time["name"], time["schema"]["default"]) == ("time", "s")
    (precision,) = schema["paths"]["/write"]["post"]["parameters"]
    assert {"ns", "us", "ms", "s"} < set(precision["schema"]["enum"])
