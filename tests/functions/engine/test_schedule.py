"""When a function that left more behind is due again."""

from datetime import timedelta

from functions.engine.function import Declared
from functions.engine.schedule import Schedule
from functions.engine.triggers import every
from tests.conftest import NOW


def test_what_left_more_behind_is_due_at_once_but_not_after_a_failure() -> None:
    schedule = Schedule(Declared("shop", (every("1h"),), ("metrics",), "", (), ""))
    schedule.ran(NOW, failed=False, more=True)
    assert schedule.due(NOW) == "more to fetch"
    assert schedule.wait_s(NOW) == 0
    schedule.ran(NOW, failed=True)
    assert schedule.due(NOW) is None
    schedule.ran(NOW, failed=False)
    assert schedule.due(NOW + timedelta(minutes=20)) is None
