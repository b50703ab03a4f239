from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_export.train import (
    ENDLESS,
    EarlyStopping,
    Recipe,
    ResumeError,
    load_checkpoint,
    save_checkpoint,
    train,
    weighted_loss,
)
from model_export.training_windows import Corpus, TrainingWindows
from tests.model_export.small_networks import SMALL, fleet

CORPORA = [Corpus("waves", fleet(), licence="CC0")]
SHORT = Recipe(steps=12, batch=8, seed=5)


def test_the_loss_is_half_the_error_of_the_median_in_units() -> None:
    forecast = torch.zeros(1, 96, 14, 7)
    target = torch.full((1, 96, 14), 3.0)
    loss = weighted_loss(forecast, target, torch.full((1, 14), 6.0))
    assert loss == pytest.approx(0.25)  # quantiles that are symmetric about .5 average to it


def test_missing_targets_and_abstained_forecasts_do_not_count() -> None:
    forecast, target = torch.zeros(1, 96, 14, 7), torch.ones(1, 96, 14)
    whole = weighted_loss(forecast, target, torch.ones(1, 14))
    forecast[:, :, 0] = float("nan")
    target[:, 10:20] = float("nan")
    assert weighted_loss(forecast, target, torch.ones(1, 14)) == pytest.approx(float(whole))


def test_training_lowers_the_loss_and_reports_progress() -> None:
    reports: list[tuple[float, ...]] = []
    recipe = Recipe(steps=120, batch=8, rate=1e-2, average=0.9)
    checkpoint = train(CORPORA, recipe, SMALL, on_progress=lambda *report: reports.append(report))
    assert [report[:2] for report in reports] == [(20 * i, 120) for i in range(1, 7)]
    untrained = train(CORPORA, Recipe(steps=1, batch=8, rate=1e-9), SMALL)
    assert _loss(checkpoint.network) < 0.8 * _loss(untrained.network)


def test_the_same_seed_trains_the_same_weights() -> None:
    first, second = (train(CORPORA, SHORT, SMALL).network.state_dict() for _ in range(2))
    assert all(first[name].equal(second[name]) for name in first)


def test_windows_and_epochs_are_counted_over_fine_tuning(tmp_path: Path) -> None:
    first = train(CORPORA, SHORT, SMALL)
    save_checkpoint(first, tmp_path / "a.ckpt")
    again = train(CORPORA, SHORT, start=load_checkpoint(tmp_path / "a.ckpt"))
    assert (first.windows_seen, again.windows_seen) == (96, 192)
    assert again.epochs == pytest.approx(2 * first.epochs)


def test_a_training_ends_after_its_steps_or_its_minutes() -> None:
    by_steps = train(CORPORA, replace(SHORT, minutes=1e6), SMALL)
    by_clock = train(CORPORA, replace(SHORT, steps=ENDLESS, minutes=1e-6), SMALL)
    assert (by_steps.windows_seen, by_clock.windows_seen) == (12 * 8, 8)


def test_fine_tuning_does_not_change_the_initial_model() -> None:
    first = train(CORPORA, SHORT, SMALL)
    before = {name: value.clone() for name, value in first.network.state_dict().items()}
    again = train(CORPORA, SHORT, start=first).network.state_dict()
    assert all(value.equal(before[name]) for name, value in first.network.state_dict().items())
    assert not all(value.equal(before[name]) for name, value in again.items())


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    before = train(CORPORA, SHORT, SMALL)
    before.network.widen(torch.rand(32, 14, 6))
    save_checkpoint(before, tmp_path / "a.ckpt")
    after = load_checkpoint(tmp_path / "a.ckpt")
    weights = before.network.state_dict()
    assert all(v.equal(weights[k]) for k, v in after.network.state_dict().items())
    assert after.corpora[0]["licence"] == "CC0"


def test_a_killed_training_resumes_to_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model_export.train.SAVE_EVERY_S", 0.0)
    saved, noisy = tmp_path / "a.progress", replace(SMALL, dropout=0.2)
    whole = train(CORPORA, SHORT, noisy).network.state_dict()
    with pytest.raises(_Killed):
        train(
            CORPORA, SHORT, noisy, early_stopping=EarlyStopping(_killed, 7, 9), progress_file=saved
        )
    resumed = train(CORPORA, SHORT, noisy, progress_file=saved).network.state_dict()
    assert torch.load(saved, weights_only=True)["step"] == 12
    assert all(whole[name].equal(resumed[name]) for name in whole)


class _Killed(Exception):
    pass


def _killed(_: torch.nn.Module) -> float:
    raise _Killed


def test_progress_of_another_training_is_refused(tmp_path: Path) -> None:
    train(CORPORA, SHORT, SMALL, progress_file=tmp_path / "a.progress")
    with pytest.raises(ResumeError, match="another recipe and weights: train"):
        train(CORPORA, replace(SHORT, seed=6), SMALL, progress_file=tmp_path / "a.progress")


def test_training_stops_when_it_gets_worse_and_returns_the_best_weights() -> None:
    validated: list[dict[str, torch.Tensor]] = []

    def loss_of(network: torch.nn.Module) -> float:
        validated.append({k: v.clone() for k, v in network.state_dict().items()})
        return (3.0, 1.0, 2.0, 2.5)[len(validated) - 1]

    result = train(
        CORPORA, replace(SHORT, steps=99), SMALL, early_stopping=EarlyStopping(loss_of, 2, 2)
    )
    assert (len(validated), result.windows_seen) == (4, 4 * 8)  # what the best had seen
    assert all(v.equal(validated[1][k]) for k, v in result.network.state_dict().items())


def _loss(network: torch.nn.Module) -> float:
    batch = next(iter(TrainingWindows(CORPORA, 64, 99)))
    with torch.no_grad():
        forecast = network.eval()(batch.context, batch.week_minute, batch.profile)
    return float(weighted_loss(forecast, batch.target, batch.unit))
