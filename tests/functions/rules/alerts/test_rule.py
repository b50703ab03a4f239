import pytest

from functions.rules.alerts.rule import Rule, Scope, ServerFacts, matches


def test_a_scope_is_globs_of_names_profiles_and_sites() -> None:
    facts = ServerFacts("DB-1", "database", "fra")
    scopes = [
        Scope(), Scope(servers=("db-*",)), Scope(servers=("web*",)), Scope(profiles=("database",)),
        Scope(sites=("ber",)),
    ]  # fmt: skip
    assert [scope.covers(facts) for scope in scopes] == [True, True, False, True, False]


@pytest.mark.parametrize(
    ("rule", "steps"),
    [
        (Rule(name="r"), 3),
        (Rule(name="r", breach="10m"), 2),
        (Rule(name="r", breach="1m"), 1),
        (Rule(name="r", samples="any"), 1),
    ],
)
def test_a_breach_is_whole_steps(rule: Rule, steps: int) -> None:
    assert rule.breach_steps == steps


def test_odds_belong_to_the_critical_level() -> None:
    assert Rule(name="r").odds_at(True) == {60: 0.2, 120: 0.3}
    assert Rule(name="r").odds_at(False) == {120: 0.5, 480: 0.7}
    assert Rule(name="r", level=80.0).odds_at(True) == {}
    assert Rule(name="r", odds={"30m": 0.4}).odds_at(True) == {30: 0.4}


def test_the_minutes_are_those_of_the_rule_or_of_where_the_odds_are_from() -> None:
    assert [Rule(name="r").needed_minutes(trend) for trend in (False, True)] == [
        (10.0, 15.0), (30.0, 40.0),
    ]  # fmt: skip
    mine = Rule(name="r", for_at_least="1h", within="2h")
    assert mine.needed_minutes(True) == (60.0, 120.0)


def test_capitals_do_not_matter_in_globs() -> None:
    assert matches("Web-1", ("web-?",))
    assert not matches("web-10", ("web-?",))
