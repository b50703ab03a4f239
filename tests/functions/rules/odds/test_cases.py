import numpy as np

from functions.rules.odds.breaches import breaches
from functions.rules.odds.cases import cases_of
from tests.functions.rules.odds.odds_scenes import MEMORY, cases, climbing, issued, levels

CASES = cases(servers=2, days=3)
VALUES = climbing(2, 3)
STARTS = [b.start for b in breaches(VALUES[:, :, MEMORY], np.full(2, 100.0)) if b.row == 0]


def test_what_came_is_whether_a_breach_begins_within_each_lead() -> None:
    of_server = CASES.only(CASES.block < CASES.block.max() // 2)
    for origin, came in zip(of_server.origin, of_server.came, strict=True):
        ahead = [start - origin for start in STARTS if start >= origin - 2]  # its third step
        expected = [bool(ahead) and ahead[0] < steps for steps in (6, 12, 24, 48, 96)]
        assert came.astype(bool).tolist() == expected


def test_odds_in_a_breach_and_until_two_hours_after_it_are_no_case() -> None:
    of_server = CASES.only(CASES.block < CASES.block.max() // 2)
    for start in STARTS:
        # three steps make the breach; it lasts 13 steps, and two hours follow
        gone = range(start + 3, start + 13 + 24)
        assert not set(gone) & set(of_server.origin.tolist())


def test_metrics_without_odds_have_no_cases() -> None:
    assert set(CASES.metric.tolist()) == {MEMORY}


def test_a_breach_is_one_event_however_many_odds_foretold_it() -> None:
    count = len(breaches(VALUES[:, :, MEMORY], np.full(2, 100.0)))
    assert count - 2 <= CASES.events <= count
    assert int((CASES.first >= 0).sum()) > 10 * CASES.events


def test_a_case_keeps_its_weight() -> None:
    made = issued(VALUES)
    made.weight[1] = 3.0
    assert set(cases_of(VALUES, *levels(2), made).weight.tolist()) == {1.0, 3.0}
