"""Units of source fields: factors, and which of them a metric can be made of."""

import pytest

from functions.normalize.units import UNITS, fits, scale, stock_unit
from storage.model.metrics import METRICS, metric


@pytest.mark.parametrize(
    ("name", "unit", "factor"),
    [
        ("cpu_user_pct", "fraction", 100), ("net_in_mb_s", "bits_s", 1.25e-7),
        ("net_in_mb_s", "mib_s", 1.048576), ("net_in_mb_s", "kib_s", 1.024e-3),
        ("uptime_days", "ms", 1 / 86_400_000), ("load_average", "number", 1),
    ],
)  # fmt: skip
def test_a_value_is_multiplied_by_the_factor_of_its_unit(
    name: str, unit: str, factor: float
) -> None:
    assert scale(metric(name), unit, False) == pytest.approx(factor)


def test_seconds_of_cpu_per_second_are_percent() -> None:
    assert scale(metric("cpu_user_pct"), "s", True) == pytest.approx(100)
    assert scale(metric("cpu_user_pct"), "ms", True) == pytest.approx(0.1)


@pytest.mark.parametrize("each", METRICS, ids=lambda m: m.name)
def test_the_stock_unit_of_every_metric_fits_it(each) -> None:
    unit = stock_unit(each)
    assert fits(each, unit, False) == ()
    assert scale(each, unit, False) == 1


@pytest.mark.parametrize(
    ("name", "unit", "counter"),
    [
        ("cpu_user_pct", "bytes", False), ("net_in_mb_s", "bytes", False),
        ("net_in_mb_s", "bytes_s", True), ("uptime_days", "percent", False),
        ("load_average", "s", False), ("uptime_days", "s", True),
    ],
)  # fmt: skip
def test_a_unit_of_another_dimension_does_not_fit_and_those_that_do_are_named(
    name: str, unit: str, counter: bool
) -> None:
    possible = fits(metric(name), unit, counter)
    assert possible
    assert unit not in possible
    assert set(possible) <= UNITS.keys()
