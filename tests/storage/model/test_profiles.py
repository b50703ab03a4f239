import pytest

from storage.model.profiles import PROFILE_NAMES, levels_for, profile_of, stated_profile


def test_there_are_seven_profiles() -> None:
    assert len(PROFILE_NAMES) == len(set(PROFILE_NAMES)) == 7


@pytest.mark.parametrize(
    ("server", "stated", "profile"),
    [
        ("ppdb001", None, "database"),
        ("PPDB001", None, "database"),
        ("PPDB001", "web_api", "web_api"),
        ("ppdb001", "generic", "generic"),
        ("ppdb001", "nonsense", "database"),
        ("box", "web_api", "web_api"),
        ("box", "nonsense", "generic"),
    ],
)
def test_a_profile_comes_from_the_record_then_from_the_name(
    server: str, stated: str | None, profile: str
) -> None:
    assert profile_of(server, stated) == profile


def test_the_first_profile_with_a_matching_pattern_is_taken() -> None:
    patterns = {"web_api": ("*-shop",), "database": ("db-*",)}
    assert profile_of("db-shop", patterns=patterns) == "web_api"
    assert profile_of("ppdb001", patterns=patterns) == "generic"


def test_a_profile_that_is_none_of_ours_is_not_stated() -> None:
    assert [stated_profile(p) for p in ("database", "frontend", None)] == ["database", None, None]


def test_a_databases_memory_is_judged_by_its_own_levels() -> None:
    assert levels_for("database")["mem_used_pct"].critical == 99.5
    assert levels_for("web_api")["mem_used_pct"].critical == 85


def test_load_is_judged_per_core_when_cores_are_known() -> None:
    assert levels_for("generic", cores=4)["load_average"].critical == 8
    assert levels_for("generic")["load_average"].critical == 12
