import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.rules.fleet_state import NAMES, KnownOdds
from functions.rules.risk_score import FleetState, assess
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES, STEP
from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import PROFILE_NAMES, levels_for
from storage.model.schema import table
from tests.functions.rules.risk_scenes import (
    NOW,
    column,
    risk_of,
    server,
    with_forecast,
    with_odds,
)

WORSE = {"cpu_idle_pct": -1.0}
JUDGED = sorted(levels_for("generic"))
MEMORY = NAMES.index("mem_used_pct")


def test_an_idle_server_is_healthy_and_there_is_nothing_to_say() -> None:
    risk = risk_of(with_forecast(server()))
    assert risk.severity.name == "Healthy"
    assert risk.score < 10
    assert risk.reasons == ()
    assert risk.breach_metric is None
    assert risk.respond_within_minutes is None


@pytest.mark.parametrize("profile", PROFILE_NAMES)
@pytest.mark.parametrize("name", JUDGED)
def test_a_single_metric_at_its_levels_is_degrading_and_critical(profile, name):
    levels = levels_for(profile, 8)[name]
    assert risk_of(server(profile, **{name: levels.warn})).now_score == pytest.approx(50)
    assert risk_of(server(profile, **{name: levels.critical})).now_score == pytest.approx(80)


def test_a_busy_cpu_alone_is_critical_but_no_imminent_failure() -> None:
    busy = with_forecast(server(cpu_idle_pct=0.0, cpu_user_pct=95.0))
    assert risk_of(busy).severity.name == "Critical"


def test_memory_that_is_used_up_is_an_imminent_failure() -> None:
    assert risk_of(server(mem_used_pct=99.5)).severity.name == "Imminent failure"


def test_memory_is_judged_by_what_a_server_is_for() -> None:
    database = risk_of(with_forecast(server("database", mem_used_pct=97.0), spread=0.2))
    assert database.severity.name == "Healthy"
    assert risk_of(server("web_api", mem_used_pct=86.0)).severity.name == "Critical"


def test_load_is_judged_per_core() -> None:
    fleet = server(load_average=16.0)
    assert risk_of(fleet).severity.name == "Critical"
    assert risk_of(replace(fleet, cores=[64])).severity.name == "Healthy"


def test_climbing_towards_the_bad_side_adds_points_within_bounds() -> None:
    level = risk_of(server(mem_used_pct=91.0)).now_score
    climbing = risk_of(server(mem_used_pct=91.0, climbing={"mem_used_pct": 6.0})).now_score
    racing = risk_of(server(mem_used_pct=91.0, climbing={"mem_used_pct": 60.0})).now_score
    falling = risk_of(server(mem_used_pct=91.0, climbing={"mem_used_pct": -6.0})).now_score
    assert falling == level < climbing <= racing == pytest.approx(level + 10)


def test_noise_is_no_trend() -> None:
    fleet = server(mem_used_pct=91.0)
    fleet.recent[0, :, column("mem_used_pct")] = [90, 93, 89, 92, 90, 92]
    assert risk_of(fleet).now_score == risk_of(server(mem_used_pct=91.0)).now_score


def test_a_burst_of_seconds_counts_once_it_fills_five_minutes() -> None:
    burst = server(cpu_idle_pct=0.0)
    burst.recent[0, :, column("cpu_idle_pct")] = 70.0
    assert risk_of(burst).severity.name == "Healthy"
    burst.recent[0, -1, column("cpu_idle_pct")] = 1.0
    assert risk_of(burst).severity.name == "Critical"


def test_joint_stress_is_worse_than_each_alone_and_bounded() -> None:
    alone: dict[str, Any] = {"cpu_idle_pct": 6.0, "mem_used_pct": 94.0, "cpu_iowait_pct": 20.0}
    single = [risk_of(server(**{name: value})).now_score for name, value in alone.items()]
    together = risk_of(server(**alone))
    assert max(single) + 3 < together.now_score <= max(single) + 15
    assert together.reasons[0].text == "CPU used 94 %, memory 94 % and I/O wait 20 % together"


@pytest.mark.parametrize("age_s", [301.0, float("nan")])
def test_a_server_whose_data_stopped_is_at_least_a_warning(age_s):
    risk = risk_of(replace(server(), age_s=np.array([age_s])))
    assert risk.now_score is None
    assert risk.severity.name == "Warning"
    assert risk.reasons[0].text.startswith("no data")


def test_without_a_forecast_there_is_no_ahead() -> None:
    risk = risk_of(server(mem_used_pct=99.0))
    assert risk.ahead_score is None
    assert risk.p_breach == (None,) * len(LEAD_MINUTES)
    assert risk.breach_likely is None


@pytest.mark.parametrize("age_minutes", [61, -10])
def test_a_forecast_that_is_too_old_or_not_yet_made_is_none(age_minutes):
    fleet = with_forecast(server(), {"mem_used_pct": 20.0}, age_minutes=age_minutes)
    assert risk_of(fleet).ahead_score is None


def test_a_metric_that_abstained_leaves_the_others_their_say() -> None:
    fleet = with_forecast(server(), {"disk_usage_pct": 10.0})
    fleet.quantiles[0, :, column("mem_used_pct")] = np.nan
    assert risk_of(fleet).breach_metric == "disk_usage_pct"


def test_a_forecast_alone_raises_severity() -> None:
    fleet = with_forecast(server(mem_used_pct=70.0), {"mem_used_pct": 10.0})
    risk = risk_of(fleet)
    assert risk.now_score < 30
    assert risk.score == risk.ahead_score >= 70
    assert risk.breach_metric == "mem_used_pct"


@pytest.mark.parametrize(
    ("p", "from_minute", "low", "high"),
    [
        (0.9, 30, 90, 96),
        (0.9, 60, 80, 90),
        (0.5, 480, 50, 60),
        (0.5, 30, 70, 80),
        (0.02, 30, 0, 20),
    ],
)
def test_ahead_follows_from_the_odds_and_how_soon(p, from_minute, low, high):
    risk = risk_of(with_odds("disk_usage_pct", p, from_minute))
    assert low <= risk.ahead_score < high
    lead = LEAD_MINUTES.index(from_minute)
    assert risk.p_breach[lead] == pytest.approx(p, abs=0.001)
    assert all(odds < 0.02 for odds in risk.p_breach[:lead])


def test_a_forecast_is_never_worse_than_what_it_forecasts() -> None:
    assert risk_of(with_odds("cpu_idle_pct", 0.5, 30)).ahead_score < 80
    certain = with_forecast(server(), {"cpu_idle_pct": -500.0})
    assert risk_of(certain).ahead_score == risk_of(server(cpu_idle_pct=0.0)).now_score


def test_breach_times_are_when_the_odds_pass_one_five_and_nine_in_ten() -> None:
    fleet = with_forecast(server(mem_used_pct=90.0), {"mem_used_pct": 4.0})
    risk = risk_of(fleet)
    # The median climbs from 90 to 98 in two hours; ±1.28 of it is 19 minutes.
    assert risk.breach_likely == NOW + timedelta(hours=2)
    assert risk.breach_earliest == NOW + timedelta(minutes=105)
    assert risk.breach_latest == NOW + timedelta(minutes=140)


def test_steps_that_are_past_are_dropped_and_leads_count_from_now() -> None:
    spike = with_forecast(server(), spread=0.01, age_minutes=30)
    spike.quantiles[0, 5, column("mem_used_pct")] = 99.0
    assert max(risk_of(spike).p_breach) < 0.02
    spike.quantiles[0, 6, column("mem_used_pct")] = 99.0
    assert risk_of(spike).p_breach[0] > 0.95
    assert risk_of(spike).breach_earliest == NOW


def test_the_step_that_is_under_way_counts() -> None:
    fleet = with_forecast(server(), spread=0.01, age_minutes=3)
    fleet.quantiles[0, 0, column("mem_used_pct")] = 99.0
    assert risk_of(fleet).p_breach[0] > 0.95
    assert risk_of(fleet).breach_earliest == NOW


def test_a_step_that_begins_within_a_lead_counts_and_the_next_does_not() -> None:
    fleet = with_forecast(server(), spread=0.01, age_minutes=3)
    fleet.quantiles[0, 6, column("mem_used_pct")] = 99.0  # from minute 27 on
    assert risk_of(fleet).p_breach[0] > 0.95
    fleet.quantiles[0, 6, column("mem_used_pct")] = 40.0
    fleet.quantiles[0, 7, column("mem_used_pct")] = 99.0
    assert risk_of(fleet).p_breach[0] < 0.02


def test_what_has_happened_already_is_as_good_as_certain() -> None:
    risk = risk_of(with_forecast(server(disk_usage_pct=96.0), {"disk_usage_pct": -20.0}))
    assert risk.p_breach == (0.999,) * len(LEAD_MINUTES)
    assert risk.breach_earliest == risk.breach_latest == NOW


def test_many_small_odds_do_not_add_up_on_a_healthy_server() -> None:
    quiet = with_forecast(server(cpu_iowait_pct=8.0, mem_used_pct=70.0), spread=2.0)
    assert max(risk_of(quiet).p_breach) < 0.02


def test_a_risk_is_a_row_of_its_table() -> None:
    fleet = with_forecast(server(mem_used_pct=96.0), {"mem_used_pct": 4.0})
    made = risk_of(fleet).row("ppweb01", NOW)
    assert tuple(made) == table("risks").names
    rows = pa.Table.from_pylist([made], schema=table("risks").arrow).to_pylist()
    assert rows[0]["reasons"][0]["metric"] == "mem_used_pct"


def test_an_empty_fleet_has_no_risks() -> None:
    fleet = server()
    nobody = FleetState(
        [], [], fleet.recent[:0], fleet.latest[:0], fleet.age_s[:0], fleet.quantiles[:0], []
    )
    assert assess(nobody, NOW) == []


def test_a_server_without_roll_ups_is_judged_by_its_last_sample() -> None:
    fleet = server(mem_used_pct=99.0)
    bare = replace(fleet, recent=fleet.recent[:, :0])
    assert risk_of(bare).now_score == risk_of(fleet).now_score


def test_a_thousand_servers_take_well_under_a_second() -> None:
    one = with_forecast(server(mem_used_pct=96.0), {"mem_used_pct": 4.0})
    n = 1000
    recent, latest, age_s, quantiles = (
        np.repeat(values, n, axis=0).astype(np.float32)
        for values in (one.recent, one.latest, one.age_s, one.quantiles)
    )
    fleet = FleetState(
        ["generic"] * n, [8] * n, recent, latest, age_s, quantiles, [*one.issued_at] * n
    )
    start = time.process_time()
    assert len(assess(fleet, NOW)) == n
    assert time.process_time() - start < 1.0


percent = st.floats(0, 100, allow_nan=False)
judged = st.sampled_from(JUDGED)
profiles = st.sampled_from(PROFILE_NAMES)
maybe = st.one_of(st.just(float("nan")), percent)


@given(profiles, judged, percent, percent)
def test_a_worse_reading_never_lowers_the_score(profile, name, one, other):
    better, worse = sorted((one, other), key=lambda v: WORSE.get(name, 1.0) * v)
    before = risk_of(server(profile, **{name: better})).now_score
    assert risk_of(server(profile, **{name: worse})).now_score >= before - 1e-9


@given(profiles, st.lists(maybe, min_size=14, max_size=14), percent)
def test_scores_stay_within_bounds_whatever_is_missing(profile, readings, climb):
    values = dict(zip(METRIC_NAMES, readings, strict=True))
    fleet = with_forecast(server(profile, **values), dict.fromkeys(METRIC_NAMES, climb))
    risk = risk_of(fleet)
    scores = [s for s in (risk.now_score, risk.ahead_score, risk.score) if s is not None]
    assert all(0 <= score <= 100 for score in scores)
    assert all(p is None or 0.001 <= p <= 0.999 for p in risk.p_breach)


@given(profiles, st.lists(percent, min_size=14, max_size=14), st.sampled_from(METRIC_NAMES))
def test_a_missing_metric_never_raises_a_score(profile, readings, name):
    values = dict(zip(METRIC_NAMES, readings, strict=True))
    whole, part = (
        risk_of(with_forecast(server(profile, **vals)))
        for vals in (values, {**values, name: float("nan")})
    )
    assert part.now_score <= whole.now_score + 1e-9
    assert part.ahead_score <= whole.ahead_score + 1e-9


@given(judged, st.floats(-30, 30), st.floats(0.01, 20))
def test_odds_never_fall_with_the_lead(name, climb, spread):
    odds = risk_of(with_forecast(server(), {name: climb}, spread)).p_breach
    assert list(odds) == sorted(odds)


@given(judged, st.integers(0, HORIZON_STEPS - 1), st.floats(0, 50), st.integers(0, 6))
@settings(max_examples=50)
def test_a_worse_forecast_never_lowers_the_odds(name, step, shift, quantile):
    fleet = with_forecast(server(), {name: 5.0 * WORSE.get(name, 1.0)}, spread=5.0)
    worse = fleet.quantiles.copy()
    worse[0, step, column(name), quantile] += shift * WORSE.get(name, 1.0)
    before, after = risk_of(fleet), risk_of(replace(fleet, quantiles=worse))
    assert all(b >= a - 1e-9 for a, b in zip(before.p_breach, after.p_breach, strict=True))
    assert after.ahead_score >= before.ahead_score - 1e-9


def test_leads_are_whole_steps() -> None:
    assert all(timedelta(minutes=lead) % STEP == timedelta(0) for lead in LEAD_MINUTES)


def with_known(fleet: FleetState, p: float, raw: float, **fields: Any) -> FleetState:
    """The same with odds that were issued for its memory."""
    shape = (1, len(NAMES), len(LEAD_MINUTES))
    known = KnownOdds(np.full(shape, np.nan), np.full(shape, np.nan),
                      np.full((1, len(NAMES), 3), np.nan), [fields.get("drivers", {})])  # fmt: skip
    known.p[0, MEMORY], known.raw[0, MEMORY] = p, raw
    known.times[0, MEMORY, 0] = (NOW + timedelta(hours=3)).timestamp()
    return replace(fleet, known=known)


def test_odds_are_those_that_were_issued_as_long_as_nothing_has_changed() -> None:
    fleet = with_odds("mem_used_pct", 0.3, 30)
    risk = risk_of(with_known(fleet, p=0.6, raw=0.3))
    assert risk.p_breach == pytest.approx([0.6] * 5, abs=0.01)
    assert risk.breach_earliest == NOW + timedelta(hours=3)
    assert risk.breach_likely is None


@pytest.mark.parametrize(("now", "expected"), [(0.5, 0.78), (0.1, 0.28)])
def test_odds_that_were_issued_move_with_the_raw_ones(now, expected):
    fleet = with_odds("mem_used_pct", now, 30)
    odds = risk_of(with_known(fleet, p=0.6, raw=0.3)).p_breach
    assert odds == pytest.approx([expected] * 5, abs=0.02)


def test_after_a_recovery_neither_the_odds_nor_their_times_hold() -> None:
    fleet = with_forecast(server(mem_used_pct=99.0), spread=0.1)
    recovered = replace(fleet, latest=server(mem_used_pct=40.0).latest)
    risk = risk_of(with_known(recovered, p=0.99, raw=0.999))
    assert max(risk.p_breach) < 0.02
    assert risk.breach_earliest is None


def test_what_drives_the_odds_is_said_with_them() -> None:
    fleet = with_odds("mem_used_pct", 0.3, 30)
    risk = risk_of(with_known(fleet, 0.9, 0.3, drivers={MEMORY: ["memory has climbed", "more"]}))
    assert risk.reasons[0].text.endswith(": memory has climbed")
