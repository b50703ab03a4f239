"""The heat map: cells by class, odds ahead, and the text of a row."""

import numpy as np

from tests.web.display.test_server_status import status
from web.display.heat import metric_heat, risk_heat
from web.display.metric_display import display_of
from web.display.sparklines import Series

NONE = np.full(48, np.nan, np.float32)


def test_cells_of_one_class_side_by_side_are_one() -> None:
    scores = NONE.copy()
    scores[10:12] = 75
    scores[47] = 5
    row = risk_heat(status(p_breach_480m=None, p_breach_240m=0.02), scores)
    assert row.paths[4] == "M10 0H12V1H10Z"
    assert row.paths[0].startswith("M47 0H48V1H47Z")


def test_odds_ahead_hold_until_their_lead() -> None:
    chances = {30: 0.0, 60: 0.0, 120: 0.3, 240: 0.6, 480: 1.0}
    odds = {f"p_breach_{minutes}m": chance for minutes, chance in chances.items()}
    row = risk_heat(status(**odds), NONE)
    assert row.paths == {
        0: "M48 0H50V1H48Z", 2: "M50 0H52V1H50Z", 3: "M52 0H56V1H52Z", 5: "M56 0H64V1H56Z",
    }  # fmt: skip


def test_a_stale_server_has_nothing_ahead() -> None:
    assert risk_heat(status(last_seen=None), NONE).paths == {}


def test_the_text_names_the_worst_half_hour() -> None:
    scores = NONE.copy()
    scores[40] = 92
    row = risk_heat(status(), scores)
    assert row.text == "now Healthy; worst Imminent failure from 22:10 UTC"


def test_a_metric_is_a_share_of_its_critical_level() -> None:
    series = Series(np.full(48, 49, np.float32), np.full(16, 99, np.float32))
    row = metric_heat(status(), display_of("mem_used_pct"), series)
    assert row.paths == {2: "M0 0H48V1H0Z", 5: "M48 0H64V1H48Z"}
    assert row.text == "Memory used 49 % to 99 %"


def test_without_values_the_row_is_empty() -> None:
    row = metric_heat(status(), display_of("mem_used_pct"), Series(NONE, NONE[:0]))
    assert (row.paths, row.text) == ({}, "no values")
