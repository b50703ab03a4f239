import numpy as np
import pytest
import torch

from model_export.training_windows import (
    Augmentations,
    Corpus,
    TrainingBatch,
    TrainingWindows,
    units,
)
from storage.model.metrics import METRIC_NAMES
from storage.query.history import WINDOW_STEPS
from tests.model_export.small_networks import fleet

NONE = Augmentations(0, 0, 0, 0, 0, 0, 0)


def drawn(corpus: Corpus, augmentations: Augmentations, count: int = 64) -> TrainingBatch:
    return TrainingWindows([corpus], count, 0, augmentations).draw(np.random.default_rng(0))


def test_the_same_seed_draws_the_same_windows() -> None:
    first, second = (next(iter(TrainingWindows([Corpus("a", fleet())], 16, 7))) for _ in range(2))
    assert first.context.nan_to_num().equal(second.context.nan_to_num())
    assert first.profile.equal(second.profile)


def test_the_target_follows_the_context() -> None:
    batch = drawn(Corpus("a", fleet()), NONE)
    uptime = torch.cat([batch.context, batch.target], 1)[..., METRIC_NAMES.index("uptime_days")]
    assert torch.allclose(uptime.diff(dim=1), torch.tensor(1 / 288), atol=1e-4)


def test_the_clock_of_a_window_is_the_time_of_its_first_step() -> None:
    batch = drawn(Corpus("a", fleet()), NONE)
    uptime = batch.context[:, 0, METRIC_NAMES.index("uptime_days")]
    expected = ((uptime - 3) * 1440) % 10_080
    assert torch.allclose(batch.week_minute, expected, atol=1.0)


def test_an_unknown_clock_is_always_shifted_by_whole_hours() -> None:
    known = drawn(Corpus("a", fleet()), NONE)
    moved = drawn(Corpus("a", fleet(), clock_known=False), NONE)
    assert not moved.week_minute.equal(known.week_minute)
    assert ((moved.week_minute - known.week_minute) % 60 == 0).all()


def test_augmentations_hide_readings_of_the_context_only() -> None:
    batch = drawn(Corpus("a", fleet()), Augmentations(short=0.5, gappy=1.0, blind=0.5), 256)
    assert torch.isnan(batch.context).any()
    assert not torch.isnan(batch.target).any()


def test_short_histories_keep_at_least_an_hour() -> None:
    batch = drawn(Corpus("a", fleet()), Augmentations(1.0, 0, 0, 0, 0, 0), 256)
    assert (~torch.isnan(batch.context[..., 0])).sum(1).min() >= 12


def test_mirroring_changes_percentages_only() -> None:
    batch = drawn(Corpus("a", fleet()), Augmentations(0, 0, 0, 1.0, 0, 0, 0))
    plain = drawn(Corpus("a", fleet()), NONE)
    assert torch.allclose(batch.target[..., 0], 100 - plain.target[..., 0], atol=1e-4)
    place = METRIC_NAMES.index("net_in_mb_s")
    assert batch.target[..., place].equal(plain.target[..., place])


def test_nameless_series_are_permuted_with_their_units() -> None:
    history = fleet()
    history.values[:] = np.arange(1, 15) + 0 * history.values  # each metric its own number
    batch = drawn(Corpus("a", history, nameless=True), NONE)
    assert (batch.target.sort(-1).values == torch.arange(1.0, 15)).all()
    assert (batch.target[..., -1] == 14).all()  # uptime stays
    assert len(batch.target[:, 0].unique(dim=0)) > 60
    assert torch.allclose(batch.unit, 1e-3 * (batch.target[:, 0] + 1e-3))


def test_a_mixed_window_lies_between_its_two_sources() -> None:
    history = fleet(servers=2)
    history.values[0], history.values[1] = 10.0, 20.0
    augmentations = Augmentations(0, 0, 0, 0, 0, 0, mixed=1.0)
    target = drawn(Corpus("a", history, nameless=True), augmentations).target
    assert ((target >= 10) & (target <= 20)).all()
    assert ((target[..., 0] > 10) & (target[..., 0] < 20)).any()
    assert target[..., -1].unique().tolist() == [10.0, 20.0]  # uptime is never mixed


def test_units_are_the_error_of_yesterdays_forecast() -> None:
    history = fleet()
    place = METRIC_NAMES.index("uptime_days")
    unit = units(history)
    assert unit.shape == (3, 14)
    np.testing.assert_allclose(unit[:, place], 1.0, rtol=1e-4)  # a day older each day
    assert (unit > 0).all()


def test_a_series_that_changed_only_after_a_gap_of_a_day_has_a_unit_above_the_floor() -> None:
    history = fleet(days=2)
    history.values[:, :, 0] = 10.0
    history.values[:, 300:310, 0], history.values[:, 12:22, 0] = 90.0, 90.0
    assert units(history)[0, 0] > 0.2


def test_windows_are_drawn_by_the_weights_of_the_corpora() -> None:
    many, few = Corpus("many", fleet(), 9.0), Corpus("few", fleet(seed=1), 1.0)
    marked = np.full_like(few.history.values, 1.0)
    few = Corpus(
        "few", type(few.history)(few.history.servers, few.history.profiles, 0, marked), 1.0
    )
    batch = TrainingWindows([many, few], 400, 0, NONE).draw(np.random.default_rng(0))
    share = (batch.target[:, 0, 0] == 1.0).float().mean()
    assert 0.05 < share < 0.2


def test_a_history_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="32 h"):
        TrainingWindows([Corpus("short", fleet().before(WINDOW_STEPS - 1))], 4, 0)
