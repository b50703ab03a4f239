"""The sections on scores and cascades of docs/loop.md: their queries and their numbers."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from functions import score
from functions.rules import cascades
from storage.model.views import ACCURACY_GOAL
from storage.query import due_forecasts
from tests.conftest import NOW, LakeFixture

TEXT = (Path(__file__).parents[1] / "docs" / "loop.md").read_text()
SCORES, CASCADES = (
    TEXT.partition(f"\n## {name}\n")[2].partition("\n## ")[0] for name in ("Scores", "Cascades")
)


@pytest.mark.parametrize("number", range(3))
def test_the_queries_shown_run(house: LakeFixture, number: int) -> None:
    queries = re.findall(r"```sql\n(.*?)```", SCORES + CASCADES, re.DOTALL)
    assert len(queries) == 3
    assert house.reader.query(queries[number].rstrip().rstrip(";")).num_rows == 0


def test_the_times_shown_are_those_of_the_function(house: LakeFixture) -> None:
    waited = score.LONGEST_WAIT // timedelta(minutes=1)
    assert f"waited for {waited} minutes" in " ".join(SCORES.split())
    oldest = due_forecasts.oldest_hour(house.reader, NOW.replace(minute=0, second=0))
    late = (NOW.replace(minute=0, second=0) - oldest) // timedelta(hours=1)
    assert f"up to {late} hours after" in SCORES
    assert f"the goal is {ACCURACY_GOAL:.0%}".replace("%", " %") in SCORES


def test_the_limits_shown_are_those_of_the_rule() -> None:
    assert f"at least .{cascades.LEAST_CORRELATION * 10:.0f} with a lag" in CASCADES
    assert f"higher by .{cascades.LEAST_LEAD * 100:02.0f} " in CASCADES
    assert f"p-value of at most .{cascades.LIMIT * 100:02.0f} " in CASCADES
    assert cascades.LEAST_EPISODES == 2
