import json
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from functions.replay.prometheus_replay import WEIGHTS, RuleReplay, replay_rules
from functions.replay.prometheus_rules import PrometheusRule
from storage.model.grid import HORIZON_STEPS, QUANTILES
from storage.model.metrics import METRIC_NAMES
from storage.query.history import History
from storage.query.windows import IssuedForecasts

START = datetime(2026, 5, 6, tzinfo=UTC)
MEMORY, IDLE = METRIC_NAMES.index("mem_used_pct"), METRIC_NAMES.index("cpu_idle_pct")
STEPS = 400
END = START + timedelta(minutes=5 * STEPS)


def history() -> History:
    values = np.full((2, STEPS, 14), np.nan, np.float32)
    values[:, :, MEMORY], values[:, :, IDLE] = 50, 40
    values[0, 200:240, MEMORY] = np.linspace(80, 99, 40)
    return History(("a", "b"), np.array([6, 6]), int(START.timestamp()), values)


def issued(age_minutes: int = 0) -> IssuedForecasts:
    """Memory of `a` rises to 60, 65 … 90 by quantile after 4 hours; idle CPU of `b` falls to 0."""
    quantiles = np.full((2, HORIZON_STEPS, 14, 7), np.nan, np.float32)
    quantiles[:, :, MEMORY], quantiles[:, :, IDLE] = 50, 40
    quantiles[0, 48:, MEMORY] = np.linspace(60, 90, 7)
    quantiles[1, 24:, IDLE] = np.linspace(0, 60, 7)
    at = END - timedelta(minutes=age_minutes)
    return IssuedForecasts(("a", "b"), (at, at), quantiles)


def replayed(expr: str, for_: str = "0s", **others: Any) -> RuleReplay:
    rule = PrometheusRule(expr=expr, alert="rule", for_=for_, **others)
    return replay_rules([rule], history(), (4, 4), issued())[0]


def test_a_rule_is_judged_against_the_breaches_of_its_metric() -> None:
    result = replayed("mem_used_pct > 85", for_="15m")
    assert (result.fired, result.servers, result.firing_now) == (1, 1, ())
    assert result.fired_a_week == pytest.approx(7 * 288 / STEPS)
    assert (result.quality.right, result.quality.false, result.quality.breaches) == (1, 0, 1)
    assert (
        result.quality.lead_median == 110.0
    )  # of 26 steps from 85 % to 98 %, less 4 until it fires


def test_a_rule_that_ends_before_the_breach_is_a_false_alarm() -> None:
    result = replayed("mem_used_pct > 85 and mem_used_pct < 90")
    assert (result.fired, result.quality.right, result.quality.false) == (1, 0, 1)


def test_keep_firing_for_bridges_what_would_be_two_alerts() -> None:
    gap = "mem_used_pct > 85 unless (mem_used_pct > 90 and mem_used_pct < 91)"
    assert replayed(gap).fired == 2
    assert replayed(gap, keep_firing_for="30m").fired == 1


def test_the_odds_of_tonight_are_the_weight_of_the_quantiles_on_which_it_fires() -> None:
    a, b = replayed("mem_used_pct > 79").tonight
    assert (a.server, b.server, b.odds, b.at) == ("a", "b", 0.0, None)
    assert a.odds == pytest.approx(sum(WEIGHTS[4:]), abs=1e-4)
    assert a.at == END + timedelta(minutes=5 * 49)


def test_a_forecast_counts_from_when_it_was_issued_and_an_old_one_not_at_all() -> None:
    rule = PrometheusRule(expr="mem_used_pct > 79", alert="rule")
    fresh, old = (replay_rules([rule], history(), (4, 4), issued(n))[0].tonight for n in (30, 65))
    assert fresh[0].at == END + timedelta(minutes=5 * 43)
    assert old == ()


def test_where_low_is_bad_the_worst_case_is_the_lowest_quantile() -> None:
    likely = replayed("cpu_idle_pct < 15 and mem_used_pct > 10").tonight[0]
    assert likely.server == "b"
    assert likely.odds == pytest.approx(sum(WEIGHTS[5:]), abs=1e-4)


def test_the_weights_are_those_of_all_cases() -> None:
    assert sum(WEIGHTS) == pytest.approx(1.0)
    assert len(WEIGHTS) == len(QUANTILES)


def test_no_rule_is_left_out() -> None:
    rules = [
        PrometheusRule(expr="redis_up == 0", alert="Redis"),
        PrometheusRule(expr="sum(x)", record="job:x"),
        PrometheusRule(expr="mem_used_pct > 1e9", alert="Never"),
    ]
    results = replay_rules(rules, history(), (4, 4))
    assert [r.name for r in results] == ["Redis", "job:x", "Never"]
    assert [r.reason for r in results] == [
        "redis_up is not one of our metrics", "a recording rule alerts nobody", None,
    ]  # fmt: skip
    assert results[2].tonight is None
    json.dumps([r.as_json() for r in results], allow_nan=False)
