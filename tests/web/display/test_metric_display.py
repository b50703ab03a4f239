"""Order, labels, direction and levels of displayed metrics."""

import pytest

from storage.model.metrics import METRIC_NAMES
from storage.model.profiles import levels_for
from web.display.metric_display import (
    INDICATORS,
    METRIC_DISPLAYS,
    display_of,
    displayed_levels,
)


def test_each_metric_is_displayed_once_and_the_indicators_come_first() -> None:
    names = [display.name for display in METRIC_DISPLAYS]
    assert sorted(names) == sorted(METRIC_NAMES)
    assert names[: len(INDICATORS)] == [display.name for display in INDICATORS]


def test_cpu_idle_is_displayed_as_cpu_used() -> None:
    cpu = display_of("cpu_idle_pct")
    assert (cpu.label, cpu.value(30.0), cpu.value(None)) == ("CPU used", 70.0, None)
    assert display_of("mem_used_pct").value(30.0) == 30.0


def test_levels_of_a_mirrored_metric_are_mirrored() -> None:
    measured, displayed = levels_for("generic", 8), displayed_levels("generic", 8)
    assert displayed["cpu_idle_pct"].critical == 100 - measured["cpu_idle_pct"].critical
    assert displayed["cpu_idle_pct"].warn < displayed["cpu_idle_pct"].critical
    assert displayed["mem_used_pct"] == measured["mem_used_pct"]


def test_a_server_without_profile_has_the_generic_levels() -> None:
    assert displayed_levels(None, 4) == displayed_levels("generic", 4)


@pytest.mark.parametrize("offset", [0, 1])
def test_a_value_at_a_level_has_reached_it(offset: float) -> None:
    levels = displayed_levels("generic", 8)
    memory = levels["mem_used_pct"]
    display = display_of("mem_used_pct")
    assert display.band(memory.critical + offset, levels) == "critical"
    assert display.band(memory.warn + offset, levels) == "warn"


def test_a_value_below_its_levels_or_without_any_has_no_band() -> None:
    levels = displayed_levels("generic", 8)
    assert display_of("mem_used_pct").band(1.0, levels) == ""
    assert display_of("mem_used_pct").band(None, levels) == ""
    assert display_of("uptime_days").band(9_999.0, levels) == ""


def test_an_unknown_metric_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        display_of("temperature")
