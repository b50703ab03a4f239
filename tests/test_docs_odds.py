"""The section on odds of docs/loop.md: its query and its numbers."""

import re
from pathlib import Path

from functions import odds_fit
from functions.rules.defaults import BREACH_QUIET_STEPS, BREACH_STEPS, LEAST_EVENTS
from functions.rules.odds.paths import TEMPLATES
from functions.rules.odds.trend import SLOPE_STEPS
from tests.conftest import LakeFixture

DOCS = Path(__file__).parents[1] / "docs"
TEXT = (DOCS / "loop.md").read_text()
SECTION = TEXT.partition("\n## Odds\n")[2].partition("\n## ")[0]
PROSE = " ".join(SECTION.split())


def test_the_query_shown_runs(house: LakeFixture) -> None:
    shown = re.search(r"```sql\n(.*?)```", SECTION, re.DOTALL)
    assert shown is not None
    assert house.reader.query(shown[1]).num_rows == 0


def test_the_numbers_shown_are_those_of_the_code() -> None:
    assert (BREACH_STEPS, BREACH_QUIET_STEPS / 12) == (3, 2)
    assert f"n / (n + {LEAST_EVENTS})" in PROSE
    assert f"has had {LEAST_EVENTS} breaches" in PROSE
    assert f"{TEMPLATES} past courses" in PROSE
    assert f"on the last {odds_fit.FIT_DAYS} days" in PROSE
    few = f"{odds_fit.BREACHED_SERVERS} servers with breaches and {odds_fit.OTHER_SERVERS} others"
    assert few in PROSE
    assert [steps * 5 for steps in SLOPE_STEPS] == [30, 60, 180, 360]


def test_the_picture_is_there() -> None:
    assert "(reliability.svg)" in SECTION
    assert (DOCS / "reliability.svg").read_text().startswith("<svg ")
