import numpy as np
import pytest
import torch

from model_export.training_windows import Corpus, TrainingBatch, TrainingWindows, Variations, units
from storage.model.metrics import METRIC_NAMES
from storage.query.history import WINDOW_STEPS
from tests.model_export.small_networks import fleet

PLAIN = Variations(0, 0, 0, 0, 0, 0, 0)


def drawn(corpus: Corpus, variations: Variations, count: int = 64) -> TrainingBatch:
    return TrainingWindows([corpus], count, 0, variations).draw(np.random.default_rng(0))


def test_the_same_seed_draws_the_same_windows() -> None:
    first, second = (next(iter(TrainingWindows([Corpus("a", fleet())], 16, 7))) for _ in range(2))
    assert first.context.nan_to_num().equal(second.context.nan_to_num())
    assert first.profile.equal(second.profile)


def test_the_target_goes_on_where_the_context_ends() -> None:
    batch = drawn(Corpus("a", fleet()), PLAIN)
    uptime = torch.cat([batch.context, batch.target], 1)[..., METRIC_NAMES.index("uptime_days")]
    assert torch.allclose(uptime.diff(dim=1), torch.tensor(1 / 288), atol=1e-4)


def test_the_clock_of_a_window_is_the_time_of_its_first_step() -> None:
    batch = drawn(Corpus("a", fleet()), PLAIN)
    uptime = batch.context[:, 0, METRIC_NAMES.index("uptime_days")]
    expected = ((uptime - 3) * 1440) % 10_080
    assert torch.allclose(batch.week_minute, expected, atol=1.0)


def test_a_clock_that_is_not_known_is_always_moved_by_whole_hours() -> None:
    known = drawn(Corpus("a", fleet()), PLAIN)
    moved = drawn(Corpus("a", fleet(), clock_known=False), PLAIN)
    assert not moved.week_minute.equal(known.week_minute)
    assert ((moved.week_minute - known.week_minute) % 60 == 0).all()


def test_variations_hide_context_and_never_targets() -> None:
    batch = drawn(Corpus("a", fleet()), Variations(short=0.5, gappy=1.0, blind=0.5), 256)
    assert torch.isnan(batch.context).any()
    assert not torch.isnan(batch.target).any()


def test_short_histories_keep_at_least_an_hour() -> None:
    batch = drawn(Corpus("a", fleet()), Variations(1.0, 0, 0, 0, 0, 0), 256)
    assert (~torch.isnan(batch.context[..., 0])).sum(1).min() >= 12


def test_mirroring_keeps_percentages_and_leaves_the_others() -> None:
    batch = drawn(Corpus("a", fleet()), Variations(0, 0, 0, 1.0, 0, 0, 0))
    plain = drawn(Corpus("a", fleet()), PLAIN)
    assert torch.allclose(batch.target[..., 0], 100 - plain.target[..., 0], atol=1e-4)
    place = METRIC_NAMES.index("net_in_mb_s")
    assert batch.target[..., place].equal(plain.target[..., place])


def test_nameless_series_change_places_and_keep_their_units() -> None:
    history = fleet()
    history.values[:] = np.arange(1, 15) + 0 * history.values  # each place its own number
    batch = drawn(Corpus("a", history, nameless=True), PLAIN)
    assert (batch.target.sort(-1).values == torch.arange(1.0, 15)).all()
    assert (batch.target[..., -1] == 14).all()  # uptime stays
    assert len(batch.target[:, 0].unique(dim=0)) > 60
    assert torch.allclose(batch.unit, 1e-3 * (batch.target[:, 0] + 1e-3))


def test_mixed_windows_lie_between_their_two() -> None:
    history = fleet(servers=2)
    history.values[0], history.values[1] = 10.0, 20.0
    varied = Variations(0, 0, 0, 0, 0, 0, mixed=1.0)
    target = drawn(Corpus("a", history, nameless=True), varied).target
    assert ((target >= 10) & (target <= 20)).all()
    assert ((target[..., 0] > 10) & (target[..., 0] < 20)).any()
    assert target[..., -1].unique().tolist() == [10.0, 20.0]  # uptime is never mixed


def test_units_are_the_error_of_yesterdays_forecast() -> None:
    history = fleet()
    place = METRIC_NAMES.index("uptime_days")
    found = units(history)
    assert found.shape == (3, 14)
    np.testing.assert_allclose(found[:, place], 1.0, rtol=1e-4)  # a day older each day
    assert (found > 0).all()


def test_a_series_that_moved_only_where_the_day_before_is_unknown_has_a_unit_of_its_own() -> None:
    history = fleet(days=2)
    history.values[:, :, 0] = 10.0
    history.values[:, 300:310, 0], history.values[:, 12:22, 0] = 90.0, 90.0
    assert units(history)[0, 0] > 0.2


def test_weights_share_out_the_windows() -> None:
    many, few = Corpus("many", fleet(), 9.0), Corpus("few", fleet(seed=1), 1.0)
    marked = np.full_like(few.history.values, 1.0)
    few = Corpus(
        "few", type(few.history)(few.history.servers, few.history.profiles, 0, marked), 1.0
    )
    batch = TrainingWindows([many, few], 400, 0, PLAIN).draw(np.random.default_rng(0))
    share = (batch.target[:, 0, 0] == 1.0).float().mean()
    assert 0.05 < share < 0.2


def test_a_history_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(ValueError, match="32 h"):
        TrainingWindows([Corpus("short", fleet().before(WINDOW_STEPS - 1))], 4, 0)
