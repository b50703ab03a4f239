import numpy as np
import pytest

from scripts.tools.odds_benchmark import Judgement, OddsSet, judge, picture, report
from storage.model.grid import HORIZON_STEPS, LEAD_MINUTES
from tests.functions.rules.odds.odds_scenes import MEMORY, climbing, levels


@pytest.fixture(scope="module")
def judgement() -> Judgement:
    values = climbing(4, 5)
    origins = np.arange(96, values.shape[1] - 98, 3)
    curve = np.full((4, len(origins), values.shape[2], HORIZON_STEPS), 0.02, np.float16)
    templates = np.random.default_rng(0).integers(0, 256, (60, HORIZON_STEPS)).astype(np.uint8)
    made = OddsSet("climbing", values, *levels(4), origins, curve, {MEMORY: templates})
    return judge(made)


def test_odds_are_judged_at_every_lead_before_and_after(judgement: Judgement) -> None:
    names = {name for name, _ in judgement.rows}
    assert {minutes for _, minutes in judgement.rows} == set(LEAD_MINUTES)
    assert len(judgement.rows) == len(names) * len(LEAD_MINUTES)
    skills = {name: judgement.rows[name, 60].skill for name in names}
    assert skills["three in a row, raw"] < skills["three in a row, trend head"]


def test_the_report_has_a_row_for_each_and_the_groups_that_the_trend_head_serves(
    judgement: Judgement,
) -> None:
    text = report("climbing", judgement)
    assert text.startswith("## climbing: ")
    assert text.count("| three in a row, calibrated | ") == len(LEAD_MINUTES) + sum(
        int((judgement.rows["three in a row, calibrated", m].bin_blocks > 0).sum())
        for m in (60, 480)
    )
    assert "| memory and disk | 60 | " in text


def test_the_picture_is_an_svg_with_a_panel_for_each_set_and_lead(judgement: Judgement) -> None:
    text = picture({"one": judgement, "two": judgement})
    assert text.startswith("<svg ")
    assert text.endswith("</svg>")
    for name in ("one", "two"):
        assert all(f">{name}, within {minutes} min</text>" in text for minutes in (60, 480))
    assert "nan" not in text
