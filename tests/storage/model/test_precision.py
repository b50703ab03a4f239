import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from storage.model.metrics import Precision, metric
from storage.model.precision import stored
from tests.conftest import NOW, LakeFixture

PERCENT, RATE = metric("mem_used_pct").precision, metric("net_in_mb_s").precision
FLOAT32 = st.floats(0, 3.4028234663852886e38, width=32)


def as_stored(values: list[float | None], precision: Precision | None) -> list[float | None]:
    assert precision is not None
    column = pa.chunked_array([pa.array(values, pa.float32())])
    result: list[float | None] = stored(column, precision).to_pylist()
    return result


@given(st.lists(st.integers(0, 10_000), min_size=1))
def test_a_percentage_in_hundredths_comes_back_when_rounded_to_hundredths(given: list[int]) -> None:
    result = as_stored([each / 100 for each in given], PERCENT)
    assert [round(100 * each) for each in result if each is not None] == given


@given(st.lists(FLOAT32, min_size=1))
def test_a_rate_is_known_to_one_part_in_4096(given: list[float]) -> None:
    values = np.array(given)
    result = np.array(as_stored(given, RATE), float)
    assert np.all(np.abs(result - values) <= np.maximum(values / 4096, 2**-137))


@given(st.lists(st.none() | FLOAT32, min_size=1))
def test_rounding_a_stored_value_changes_nothing_and_null_stays_null(
    given: list[float | None],
) -> None:
    for precision in (PERCENT, RATE):
        result = as_stored(given, precision)
        assert as_stored(result, precision) == result
        assert [each is None for each in result] == [each is None for each in given]
        assert np.isfinite([each for each in result if each is not None]).all()


def test_percentages_are_rounded_and_counts_are_not(house: LakeFixture) -> None:
    house.put(
        "metrics", [{"server": "a", "ts": NOW, "mem_used_pct": 37.42, "back_close_wait": 1001.1}]
    )
    house.commit()
    row = house.reader.query("SELECT mem_used_pct AS m, back_close_wait AS b FROM metrics")
    assert row.to_pylist() == [{"m": 37.421875, "b": float(np.float32(1001.1))}]


def test_a_forecasts_lists_are_rounded_one_by_one_and_an_absent_list_stays_absent(
    house: LakeFixture,
) -> None:
    row = {"server": "a", "issued_at": NOW, "made_at": NOW}
    ok = row | {"metric": "m", "state": "ok", "p50": [1.0, 1 + 1 / 4096, None, 300.01]}
    house.put("forecasts", [row | {"metric": "n", "state": "abstained"}, ok])
    house.commit()
    values = house.reader.query("SELECT p50 FROM forecasts ORDER BY metric")["p50"].to_pylist()
    assert values == [[1.0, 1 + 1 / 2048, None, 300.0], None]
