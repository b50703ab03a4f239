"""Normal levels: the table of the profiles, and the shape of their weeks."""

import numpy as np

from functions.simulator.normal_levels import COLUMNS, MEANS, SPREADS, WEEK
from storage.model.profiles import PROFILE_NAMES, levels_for


def mean(profile: str, column: str) -> float:
    return float(MEANS[PROFILE_NAMES.index(profile), COLUMNS.index(column)])


def week(profile: str) -> np.ndarray:
    """Activity at each full hour, [days, hours]."""
    return WEEK[PROFILE_NAMES.index(profile), :168].reshape(7, 24)


def test_every_profile_has_a_mean_and_a_smaller_deviation_per_column() -> None:
    assert MEANS.shape == SPREADS.shape == (len(PROFILE_NAMES), len(COLUMNS))
    assert (MEANS > 0).all()
    assert (SPREADS > 0).all()
    assert (SPREADS <= MEANS).all()


def test_the_means_are_those_of_the_profile() -> None:
    assert (mean("database", "iowait"), mean("web_api", "net_out")) == (15, 120)
    assert MEANS[:, COLUMNS.index("iowait")].argmax() == PROFILE_NAMES.index("database")


def test_normal_levels_lie_below_the_warning_levels() -> None:
    for profile in PROFILE_NAMES:
        levels = levels_for(profile, cores=12)
        assert mean(profile, "mem") < levels["mem_used_pct"].warn
        assert mean(profile, "disk") < levels["disk_usage_pct"].warn
        assert mean(profile, "load") < levels["load_average"].warn


def test_the_week_ends_where_it_begins_and_weekends_are_quieter() -> None:
    np.testing.assert_array_equal(WEEK[:, 0], WEEK[:, 168])
    for profile in PROFILE_NAMES:
        assert week(profile)[5:].mean() < week(profile)[:5].mean()


def test_each_profile_has_its_own_busy_hours() -> None:
    web, risk, ml = week("web_api"), week("risk_analytics"), week("ml_compute")
    assert web[0, 10] > 1.8 * web[0, 2]
    assert risk[0].argmax() in (16, 17, 18)
    assert ml[0, 2] > web[0, 2]
