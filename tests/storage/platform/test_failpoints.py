import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from storage.platform.failpoints import POINTS, arm, failpoint


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("committed", time=0)  # never acts


def test_an_armed_failpoint_acts_at_the_given_time_and_only_then() -> None:
    reached: list[str] = []
    arm("committed", time=2, act=lambda: reached.append("committed"))
    failpoint("committed")
    assert reached == []
    failpoint("committed")
    assert reached == ["committed"]
    failpoint("committed")
    assert reached == ["committed"]


def test_other_failpoints_do_nothing() -> None:
    arm("committed", act=lambda: pytest.fail("another failpoint was reached"))
    for point in POINTS:
        if point != "committed":
            failpoint(point)


def test_an_unknown_failpoint_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'comitted' is not a failpoint .*segment written"):
        arm("comitted")


def test_the_default_action_kills_the_process() -> None:
    code = "from storage.platform.failpoints import *; arm('committed'); failpoint('committed')"
    ended = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
