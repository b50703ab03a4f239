import pytest

from scripts.crash_sweep import Outcome, sweep
from storage.crash import POINTS


@pytest.mark.timeout(300)
def test_a_crash_at_any_step_loses_nothing_doubles_nothing_and_shows_readers_no_half() -> None:
    found = sweep(POINTS, seeds=[1])
    assert found.clean, f"{found}; {found.kills} kills; {found.torn[:3]}"
    assert str(found) == f"{len(POINTS)} crash points × 1 seeds, 0 lost, 0 doubled"


def test_an_outcome_with_a_loss_or_a_point_that_was_not_reached_is_not_clean() -> None:
    assert Outcome(2, 1, kills=2).clean
    assert not Outcome(2, 1, kills=1).clean
    assert not Outcome(2, 1, kills=2, lost=1).clean
    assert "half" in str(Outcome(2, 1, kills=2, torn=["half"]))
