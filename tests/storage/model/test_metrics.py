import pytest

from storage.model.metrics import METRIC_NAMES, metric
from storage.model.profiles import PROFILE_NAMES, levels_for, profile_of


def test_there_are_fourteen_metrics_and_seven_profiles() -> None:
    assert len(METRIC_NAMES) == len(set(METRIC_NAMES)) == 14
    assert len(PROFILE_NAMES) == 7


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("mem_used_pct", float("nan"), "mem_used_pct: NaN"),
        ("mem_used_pct", 4520.0, "4520 % lies outside 0–100"),
        ("net_in_mb_s", -1.0, "-1 MB/s lies outside ≥ 0"),
        ("net_in_mb_s", float("inf"), "infinity"),
    ],
)
def test_an_impossible_value_is_refused_by_name_and_value(
    name: str, value: float, says: str
) -> None:
    assert says in (metric(name).refusal(value) or "")


def test_zero_is_a_value() -> None:
    assert metric("swap_used_pct").refusal(0.0) is None


def test_an_unknown_metric_is_named_with_those_that_exist() -> None:
    with pytest.raises(KeyError, match="cpu_user_pct"):
        metric("cpu")


@pytest.mark.parametrize(
    ("server", "stated", "profile"),
    [
        ("ppdb001", None, "database"),
        ("PPDB001", "web_api", "database"),
        ("box", "web_api", "web_api"),
        ("box", "nonsense", "generic"),
    ],
)
def test_a_profile_comes_from_the_name_then_from_the_record(
    server: str, stated: str | None, profile: str
) -> None:
    assert profile_of(server, stated) == profile


def test_a_profile_has_levels_of_its_own() -> None:
    assert levels_for("database")["mem_used_pct"].critical == 99.5
    assert levels_for("web_api")["mem_used_pct"].critical == 85


def test_levels_of_load_are_per_core_when_cores_are_known() -> None:
    assert levels_for("generic", cores=4)["load_average"].critical == 8
    assert levels_for("generic")["load_average"].critical == 12
