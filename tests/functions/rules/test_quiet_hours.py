"""When a server can be rebooted with the least harm."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.rules.quiet_hours import Outlook, best_start, outlook
from storage.model.grid import HORIZON_STEPS
from storage.model.metrics import METRIC_NAMES

NONE = (0.0, 0.0, 0.0, 0.0, 0.0)
SPREAD = np.array([-3, -1, -0.5, 0, 0.5, 1, 3], np.float32)


def ahead(use: list[float], deviation: float = 0.1, breach: float | None = None) -> Outlook:
    steps = np.resize(np.repeat(use, HORIZON_STEPS // len(use)), HORIZON_STEPS).astype(float)
    odds = None if breach is None else np.full(HORIZON_STEPS, breach)
    return Outlook(steps, np.full(HORIZON_STEPS, deviation), odds)


def forecast(value: float = 10.0) -> np.ndarray:
    """Quantiles [96, 14, 7] around a level."""
    return np.broadcast_to(value + SPREAD, (HORIZON_STEPS, len(METRIC_NAMES), 7)).copy()


def context(value: float = 10.0) -> np.ndarray:
    return np.full((288, len(METRIC_NAMES)), value, np.float32)


def test_the_quietest_time_is_found_and_worth_waiting_for() -> None:
    hour = best_start(ahead([1.0, 0.9, 0.2, 0.8]), 0, 4, 96)
    assert hour.best.step == 48
    assert [hour.best.use, hour.now.use] == pytest.approx([0.2, 1.0])
    assert hour.wait
    assert hour.sure > 0.99


def test_a_small_advantage_is_not_worth_waiting_for() -> None:
    hour = best_start(ahead([1.0, 0.96]), 0, 4, 96)
    assert (hour.best.step, hour.wait) == (48, False)
    assert 0.5 < hour.sure < 0.7


def test_of_equal_starts_the_earliest_is_taken() -> None:
    hour = best_start(ahead([1.0]), 3, 4, 96)
    assert (hour.best.step, hour.wait, hour.sure) == (3, False, 0.5)


def test_a_breach_that_comes_makes_an_early_start_better() -> None:
    quiet_later = ahead([0.6, 0.5])
    rising = np.linspace(0, 0.9, HORIZON_STEPS)
    hour = best_start(Outlook(quiet_later.use, quiet_later.deviation, rising), 0, 4, 96)
    assert hour.best.step == 0
    assert hour.best.breach == pytest.approx(rising[3])


@given(
    st.lists(st.floats(0, 3), min_size=1, max_size=8), st.integers(0, 90), st.integers(1, 96),
    st.integers(0, 96),
)  # fmt: skip
def test_no_start_is_better_than_the_best_and_the_server_is_back_in_time(
    use: list[float], first: int, steps: int, within: int
) -> None:
    outlook = ahead(use, breach=0.1)
    if first + steps > HORIZON_STEPS:
        with pytest.raises(ValueError, match="do not fit into 96 steps"):
            best_start(outlook, first, steps, within)
        return
    hour = best_start(outlook, first, steps, within)
    assert hour.best.harm <= hour.now.harm
    assert first <= hour.best.step <= min(first + within, HORIZON_STEPS - steps)
    assert hour.best.low <= hour.best.use <= hour.best.high


def test_use_is_a_share_of_the_usual_and_the_mean_of_traffic_load_and_cpu() -> None:
    known = outlook(context(10), forecast(5), NONE)
    assert known is not None
    # traffic and load are halved, the CPU is used to 95 % in place of 90 %
    assert known.use[0] == pytest.approx((0.5 + 0.5 + 95 / 90) / 3)
    assert known.deviation[0] > 0


def test_odds_grow_between_the_leads_and_never_fall() -> None:
    known = outlook(context(), forecast(), (0.1, 0.2, 0.15, 0.4, 0.8))
    assert known is not None
    assert known.breach is not None
    assert known.breach[[5, 11, 23, 47, 95]] == pytest.approx([0.1, 0.2, 0.2, 0.4, 0.8])
    assert (np.diff(known.breach) >= 0).all()


def test_without_odds_the_use_alone_decides() -> None:
    known = outlook(context(), forecast(), (0.1, None, None, None, None))
    assert known is not None
    assert (known.breach, best_start(known, 0, 1, 1).best.breach) == (None, None)


def test_without_a_forecast_nothing_is_known() -> None:
    assert outlook(context(), forecast(np.nan), NONE) is None
    assert outlook(context(np.nan), forecast(), NONE) is None


def test_a_server_at_rest_can_be_rebooted_at_any_time() -> None:
    still = context(0)
    still[:, METRIC_NAMES.index("cpu_idle_pct")] = 99.9
    known = outlook(still, forecast(0.0), NONE)
    assert known is not None
    assert not best_start(known, 0, 4, 96).wait
