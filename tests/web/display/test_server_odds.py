"""Odds in words, and what they were checked on."""

from datetime import UTC, datetime, timedelta
from typing import Any

from web.display.server_odds import metric_odds, odds_record

NOW = datetime(2026, 3, 1, 2, 13, tzinfo=UTC)


def odds_row(metric: str = "mem_used_pct", **changed: Any) -> dict[str, Any]:
    chances = {f"p_{lead}m": p for lead, p in ((30, 0.1), (60, 0.2), (120, 0.5), (240, 0.7))}
    times = {n: NOW + timedelta(minutes=m) for n, m in (("earliest", 45), ("likely", 110))}
    row = {"metric": metric, "level": 85.0, "p_480m": 0.81, "latest": None, "drivers": ["it grows"]}
    return row | chances | times | {"issued_at": NOW} | changed


def test_the_odds_of_a_metric_are_a_sentence_with_times() -> None:
    (odds,) = metric_odds([odds_row()])
    assert odds.sentence(NOW) == (
        "Memory used passes 85 % within 8 h with 81 % chance: earliest 02:58 UTC, "
        "likely 04:03 UTC, latest after 8 h"
    )
    assert [each.chance_text for each in odds.odds] == ["10 %", "20 %", "50 %", "70 %", "81 %"]


def test_what_has_happened_is_now_and_what_is_unlikely_has_no_time() -> None:
    (past,) = metric_odds([odds_row(earliest=NOW, likely=NOW)])
    assert "earliest now, likely now" in past.sentence(NOW)
    (later,) = metric_odds([odds_row(p_480m=0.3, earliest=None, likely=None)])
    assert later.sentence(NOW).endswith("with 30 % chance; later than 8 h is likelier")


def test_the_level_of_cpu_idle_is_that_of_cpu_used() -> None:
    (odds,) = metric_odds([odds_row("cpu_idle_pct", level=2.0)])
    assert odds.sentence(NOW).startswith("CPU used passes 98 %")


def test_negligible_odds_are_left_out() -> None:
    assert metric_odds([odds_row(p_480m=0.004), odds_row(p_480m=None)]) == []


def test_odds_are_checked_from_30_breaches_on() -> None:
    rows = [{"lead_minutes": 30, "breaches": 31, "cases": 1200}]
    record = odds_record([*rows, {"lead_minutes": 480, "breaches": 30, "cases": 4120}])
    assert record.sentence == "Checked on 4,120 cases with 31 breaches of this fleet."
    assert (record.of_lead(30), record.of_lead(60)) == ("checked on 1,200 cases", "not yet checked")


def test_unchecked_odds_say_what_is_missing() -> None:
    assert odds_record([]).sentence == (
        "Not yet checked: 30 more breaches of this fleet (0 of 30 seen)."
    )
    nearly = odds_record([{"lead_minutes": 30, "breaches": 29, "cases": 900}])
    assert nearly.sentence.startswith("Not yet checked: 1 more breach of")
    assert nearly.of_lead(30) == "not yet checked"
