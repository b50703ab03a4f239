from storage.model.metrics import METRICS
from storage.model.next_steps import NEXT_STEPS, STALE_STEP


def test_every_metric_with_levels_has_a_next_step_and_no_other_name_has_one() -> None:
    assert {metric.name for metric in METRICS if metric.levels} <= set(NEXT_STEPS)
    assert set(NEXT_STEPS) <= {metric.name for metric in METRICS}


def test_a_step_is_a_sentence() -> None:
    assert all(text.endswith(".") for text in (*NEXT_STEPS.values(), STALE_STEP))
