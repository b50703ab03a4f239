"""What-if: the model's answer to a context that was changed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from functions.engine.runner import Runner
from functions.forecast import forecast
from functions.what_if import what_if
from storage.config.settings import Settings
from storage.model.metrics import METRIC_NAMES
from tests.conftest import NOW, LakeFixture
from tests.functions.module_lakes import house_at
from tests.functions.test_forecast import FLEET, know, steps

SERVER = FLEET[0].name


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeFixture]:
    """A lake with one server, which was forecast."""
    with house_at(tmp_path_factory.mktemp("what_if")) as house:
        know(house, FLEET[0])
        house.put("metrics_5m", steps(FLEET[0]))
        house.commit()
        assert Runner(house.folders, Settings()).run(forecast, "test", NOW).error is None
        house.commit(NOW)
        yield house


@pytest.fixture(scope="module")
def runner(house: LakeFixture) -> Runner:
    return Runner(house.folders, Settings())


def asked(runner: Runner, body: Any) -> tuple[Any, tuple[str, ...]]:
    """The answer of one call, and why it was refused."""
    run = runner.run(what_if, "test", NOW, body=body)
    assert run.error is None
    return run.batch.answer, run.batch.reasons


def drawn(answer: Any, metric: str, case: str) -> np.ndarray:
    made = next(each for each in answer["forecasts"] if each["metric"] == metric)[case]
    return np.array([made[name] for name in ("p10", "p50", "p90")])


def test_without_an_effective_change_it_is_the_forecast_that_is_served(
    house: LakeFixture, runner: Runner
) -> None:
    answer, _ = asked(runner, {"server": SERVER, "set": "mem_used_pct:x1"})
    stored = house.reader.query(
        "SELECT p10, p50, p90 FROM forecast_points WHERE metric = 'mem_used_pct' ORDER BY ts"
    )
    expected = np.array([stored[name].to_numpy() for name in stored.column_names])
    for case in ("base", "changed"):
        assert drawn(answer, "mem_used_pct", case) == pytest.approx(expected, abs=0.1)


def test_a_changed_metric_is_forecast_from_its_new_level(runner: Runner) -> None:
    answer, _ = asked(runner, {"server": SERVER, "set": "mem_used_pct:-50%,traffic:x2"})
    memory, network = answer["changes"][:2]
    assert memory["to"] == pytest.approx(memory["from"] / 2, rel=1e-3)
    assert network["to"] == pytest.approx(2 * network["from"], rel=1e-3)
    _, base, _ = drawn(answer, "mem_used_pct", "base")
    _, after, _ = drawn(answer, "mem_used_pct", "changed")
    assert (after < base).all()
    assert {each["metric"] for each in answer["forecasts"]} == set(METRIC_NAMES)


def test_nothing_is_stored(house: LakeFixture, runner: Runner) -> None:
    before = house.reader.query("SELECT count(*) AS n FROM forecasts")["n"][0].as_py()
    asked(runner, {"server": SERVER, "set": "mem_used_pct:+10"})
    house.commit(NOW)
    after = house.reader.query("SELECT count(*) AS n FROM forecasts")["n"][0].as_py()
    assert after == before > 0


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (None, "None is not a request (expected an object such as"),
        ({"server": SERVER}, "set is missing"),
        ({"server": SERVER, "set": "mem_used_pct:lots"}, "'lots' is not a change"),
        ({"server": "gone", "set": "mem_used_pct:+1"}, "gone has no data of the last 30 min"),
        ({"server": "a\0b", "set": "mem_used_pct:+1"}, "has no data of the last 30 min"),
        ({"server": SERVER, "set": "x", "why": "y"}, "why is not a key"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words(runner: Runner, body: Any, named: str) -> None:
    answer, reasons = asked(runner, body)
    assert answer is None
    assert named in reasons[0]
