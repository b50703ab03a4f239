"""The size of a remote write request: counted as its decoder would build it."""

import pytest

from functions.ingest import series_count
from functions.ingest.rejection import PushRejected
from functions.ingest.remote_write import WriteRequest
from functions.ingest.series_count import count_elements, series_bytes


def request(series: int, labels: int, samples: int) -> bytes:
    made = WriteRequest()
    for _ in range(series):
        one = made.timeseries.add()
        for place in range(labels):
            one.labels.add(name=f"name{place}", value="x" * 200)
        for place in range(samples):
            one.samples.add(value=1.5, timestamp=place - 2)
    return bytes(made.SerializeToString())


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_count, "SMALL_BYTES", 0)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize("shape", [(0, 0, 0), (3, 0, 0), (2, 3, 4), (1, 0, 50)])
def test_series_labels_and_samples_are_counted(shape: tuple[int, int, int]) -> None:
    series, labels, samples = shape
    assert count_elements(request(*shape)) == series * (1 + labels + samples)


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(
    "other", [b"\x18\x96\x01", b"\x19" + b"\1" * 8, b"\x1d" + b"\1" * 4], ids=["varint", "64", "32"]
)
def test_fields_of_other_kinds_are_passed_over(other: bytes) -> None:
    assert count_elements(other + request(2, 1, 1) + other) == 6


@pytest.mark.usefixtures("exact")
@pytest.mark.parametrize(
    "body", [b"\x0a", b"\x0a\xff", b"\xff" * 100, b"\x0b\x0b", b"\x0a\x7f\x0a"]
)
def test_what_is_no_message_is_counted_to_its_mistake(body: bytes) -> None:
    assert count_elements(body) <= len(body)


def test_a_small_request_is_not_counted_one_by_one() -> None:
    body = request(5, 5, 5)
    assert 5 * 11 <= count_elements(body) == len(body) // 2
    assert series_bytes(body) > len(body)


@pytest.mark.parametrize(
    "body",
    [b"\x0a\x00" * 1_000_001, b"\x0a\x84\x89\x7a" + b"\x12\x00" * 1_000_002],
    ids=["series", "samples"],
)
def test_a_request_of_too_many_elements_is_413_before_any_is_built(body: bytes) -> None:
    with pytest.raises(PushRejected, match="more than 1,000,000 series") as refused:
        count_elements(body)
    assert refused.value.status == 413
