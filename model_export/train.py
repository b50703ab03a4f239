"""Training: the forecast network on windows of history, in Lightning's loop.

The result is a moving average of the weights. A training that was killed resumes from its progress
file. The same seed and number of steps give the same weights, resumed or not.
"""

import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from model_export.network import ForecastNetwork, Shape
from model_export.training_windows import Corpus, TrainingBatch, TrainingWindows
from storage.errors import HoursightError
from storage.model.grid import QUANTILES

__all__ = [
    "ENDLESS",
    "Checkpoint",
    "EarlyStopping",
    "Recipe",
    "ResumeError",
    "load_checkpoint",
    "save_checkpoint",
    "train",
    "weighted_loss",
]

ENDLESS = 1_000_000_000  # steps: only `Recipe.minutes` ends the training
SAVE_EVERY_S = 30.0  # how much training a kill may lose


class ResumeError(HoursightError, ValueError):
    """Raised when a progress file belongs to another training; the message says what differs."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Hyperparameters; a training ends after `steps` or `minutes`, whichever comes first."""

    steps: int = 6000
    batch: int = 64
    rate: float = 2e-3  # the highest; 3e-3 overfitted when prototypes were fine-tuned
    warmup: float = 0.05  # share of the training until `rate`, before a cosine decay
    decay: float = 1e-2  # weight decay
    clip: float = 1.0  # largest gradient norm
    average: float = 0.998  # the moving average spans some 500 steps
    seed: int = 0
    threads: int = 1
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """Stop after `patience` measurements of `loss_of` without a better one, `every` steps apart."""

    loss_of: Callable[[ForecastNetwork], float]
    every: int
    patience: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Trained weights and their history for the card; fine-tuning adds to the counts."""

    network: ForecastNetwork
    windows_seen: int
    epochs: float
    corpora: tuple[dict[str, Any], ...]
    seed: int


class ProgressCallback(Protocol):
    """Called with steps done, steps in all, the mean recent loss and the seconds left."""

    def __call__(self, done: int, total: int, loss: float, left_s: float, /) -> None: ...


@dataclass(slots=True)
class _TrainingState:
    """All that changes during a training, so that a progress file can restore it."""

    network: ForecastNetwork
    average: ForecastNetwork
    step: int = 0
    spent_s: float = 0.0
    validated: list[tuple[int, float]] = field(default_factory=list)  # step, loss
    best: dict[str, Tensor] | None = None  # weights of the lowest validation loss
    optimiser: dict[str, Any] | None = None


def train(
    corpora: Sequence[Corpus],
    recipe: Recipe,
    shape: Shape | None = None,
    start: Checkpoint | None = None,
    on_progress: ProgressCallback | None = None,
    early_stopping: EarlyStopping | None = None,
    progress_file: Path | None = None,
) -> Checkpoint:
    """Train on `corpora`, from `start` or from a new network of `shape`.

    With `early_stopping` the result is the weights of the lowest validation loss, with the windows
    that those have seen. Progress is saved to `progress_file`; if the file exists, training resumes
    from it. Raise ResumeError if it belongs to another training.

    An epoch is as many windows as the corpora have steps. The same seed gives the same weights.
    """
    torch.set_num_threads(recipe.threads)
    lightning.seed_everything(recipe.seed, verbose=False)
    network = deepcopy(start.network) if start else ForecastNetwork(shape)
    network.train().widen(torch.ones(1))  # calibration comes after training
    state = _TrainingState(network, deepcopy(network))
    entries = tuple(_corpus_entry(c) for c in corpora)
    identity = {
        "recipe": asdict(recipe),
        "corpora": list(entries),
        "weights": _weights_sum(network),
    }
    if progress_file and progress_file.exists():
        _resume(state, progress_file, identity)
    module = _TrainingModule(state, recipe, early_stopping, on_progress, progress_file, identity)
    if not module.finished:
        _run_loop(module, corpora, recipe)
    seen = _use_best(state) * recipe.batch
    windows_per_epoch = sum(len(c.history.servers) * c.history.steps for c in corpora)
    return Checkpoint(
        state.average.cpu().eval(),
        seen + (start.windows_seen if start else 0),
        seen / windows_per_epoch + (start.epochs if start else 0.0),
        entries,
        recipe.seed,
    )


def _use_best(state: _TrainingState) -> int:
    """Load the best validated weights, if any, into the average; return the step they are of."""
    if state.best is None:
        return state.step
    state.average.load_state_dict(state.best)
    return min(state.validated, key=lambda pair: pair[1])[0]


def weighted_loss(forecast: Tensor, target: Tensor, unit: Tensor) -> Tensor:
    """Return the mean pinball loss of `forecast` [B, 96, 14, 7] against `target` [B, 96, 14].

    Each series is measured in its own `unit` [B, 14]. Missing targets and forecasts that are NaN
    do not count.
    """
    known = ~(torch.isnan(target) | torch.isnan(forecast[..., 0]))  # [B, 96, 14]
    miss = torch.where(known, target, 0)[..., None] - torch.where(known[..., None], forecast, 0)
    levels = torch.tensor(QUANTILES, device=forecast.device)
    pinball = torch.maximum(levels * miss, (levels - 1) * miss).mean(-1)  # [B, 96, 14]
    return (pinball / unit[:, None]).sum() / known.sum().clamp(min=1)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write weights and counts atomically, as plain tensors and numbers: loading runs no code."""
    content = {
        "shape": checkpoint.network.shape.as_dict(),
        "weights": checkpoint.network.state_dict(),
        "windows_seen": checkpoint.windows_seen,
        "epochs": checkpoint.epochs,
        "corpora": list(checkpoint.corpora),
        "seed": checkpoint.seed,
    }
    _write(content, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Return the checkpoint in a file written by `save_checkpoint`, in evaluation mode."""
    content = torch.load(path, weights_only=True)
    network = ForecastNetwork(Shape(**content["shape"]))
    weights = content["weights"]
    # older files have one factor per gap for all leads and metrics
    weights["fusion.widening"] = weights["fusion.widening"].expand_as(network.fusion.widening)
    network.load_state_dict(weights)
    return Checkpoint(
        network.eval(),
        content["windows_seen"],
        content["epochs"],
        tuple(content["corpora"]),
        content["seed"],
    )


def _write(content: Mapping[str, Any], path: Path) -> None:
    """Write a file atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    torch.save(content, draft)
    os.replace(draft, path)


def _resume(state: _TrainingState, progress_file: Path, identity: Mapping[str, Any]) -> None:
    saved = torch.load(progress_file, weights_only=True)
    differing = [name for name, value in identity.items() if saved["identity"][name] != value]
    if differing:
        raise ResumeError(
            f"{progress_file}: saved by a training with another {' and '.join(differing)}",
            "train with the same options, or remove the file to start again",
        )
    state.network.load_state_dict(saved["network"])
    state.average.load_state_dict(saved["average"])
    state.step, state.spent_s = saved["step"], saved["spent_s"]
    state.validated = [tuple(pair) for pair in saved["judged"]]
    state.best, state.optimiser = saved["best"], saved["optimiser"]


class _TrainingModule(lightning.LightningModule):
    """Lightning's view of one training. Steps are counted in `state`: Lightning's restart at 0."""

    def __init__(
        self,
        state: _TrainingState,
        recipe: Recipe,
        early_stopping: EarlyStopping | None,
        on_progress: ProgressCallback | None,
        progress_file: Path | None,
        identity: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.state = state
        self.network = state.network
        self.recipe = recipe
        self.early_stopping = early_stopping
        self.on_progress = on_progress
        self.progress_file = progress_file
        self.identity = identity
        self.losses: list[float] = []
        self.step_ended = self.saved = time.monotonic()

    @property
    def done(self) -> float:
        """The share of the training that is done, by steps or by time, whichever is greater."""
        minutes = self.recipe.minutes or math.inf
        by_time = self.state.spent_s / (minutes * 60)
        return min(max(self.state.step / self.recipe.steps, by_time), 1.0)

    @property
    def finished(self) -> bool:
        """True when all steps or minutes are done, or early stopping has run out of patience."""
        return self.done >= 1 or self._out_of_patience()

    def on_train_batch_start(self, *_: Any) -> None:
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]  # there is one
            group["lr"] = self.recipe.rate * _rate_factor(self.done, self.recipe.warmup)

    def training_step(self, batch: TrainingBatch, _: int) -> Tensor:
        # seeded per step: dropout is the same when a training is resumed
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.state.step)
        forecast = self.network(batch.context, batch.week_minute, batch.profile)
        return weighted_loss(forecast, batch.target, batch.unit)

    def on_train_batch_end(self, outputs: Any, *_: Any) -> None:
        state, now = self.state, time.monotonic()
        state.step += 1
        state.spent_s += now - self.step_ended
        self.step_ended = now
        self.losses.append(float(outputs["loss"]))
        _update_average(state, self.recipe.average)
        stopping = self.early_stopping
        if stopping and (state.step % stopping.every == 0 or self.done >= 1):
            self._validate(stopping)
        over = self.finished
        self.trainer.should_stop = over
        self._report(over)
        if self.progress_file and (over or now - self.saved > SAVE_EVERY_S):
            self._save(self.progress_file)

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self.recipe.rate, weight_decay=self.recipe.decay
        )
        if self.state.optimiser is not None:
            optimiser.load_state_dict(self.state.optimiser)
        return optimiser

    def transfer_batch_to_device(self, batch: TrainingBatch, device: Any, _: int) -> TrainingBatch:
        moved = {name: getattr(batch, name).to(device) for name in TrainingBatch.__slots__}
        return replace(batch, **moved)

    def on_fit_start(self) -> None:
        self.state.average.to(self.device)

    def _validate(self, stopping: EarlyStopping) -> None:
        state = self.state
        loss = stopping.loss_of(state.average.eval())
        if loss < min((known for _, known in state.validated), default=math.inf):
            state.best = {k: v.detach().clone() for k, v in state.average.state_dict().items()}
        state.validated.append((state.step, loss))

    def _out_of_patience(self) -> bool:
        validated = self.state.validated
        if not self.early_stopping or not validated:
            return False
        best = min(range(len(validated)), key=lambda i: validated[i][1])
        return len(validated) - 1 - best >= self.early_stopping.patience

    def _report(self, over: bool) -> None:
        if self.on_progress and (over or self.state.step % 20 == 0):
            step, done = self.state.step, self.done
            total = step if over else max(round(step / done), step)
            left_s = 0.0 if over else self.state.spent_s * (1 - done) / done
            self.on_progress(step, total, sum(self.losses) / len(self.losses), left_s)
            self.losses.clear()

    def _save(self, path: Path) -> None:
        state = self.state
        self.saved = time.monotonic()
        content = {
            "identity": dict(self.identity),
            "network": state.network.state_dict(),
            "average": state.average.state_dict(),
            "step": state.step,
            "spent_s": state.spent_s,
            "judged": state.validated,
            "best": state.best,
            "optimiser": self.optimizers().optimizer.state_dict(),  # type: ignore[union-attr]
        }
        _write(content, path)


def _rate_factor(done: float, warmup: float) -> float:
    """Return the learning rate as a share of the highest: a linear rise, then a cosine decay."""
    if done < warmup:
        return max(done / warmup, 0.04)
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def _update_average(state: _TrainingState, share: float) -> None:
    """Update the moving average; it keeps `share` of itself, less in the first steps."""
    share = min(share, state.step / (state.step + 9))
    pairs = zip(state.average.parameters(), state.network.parameters(), strict=True)
    with torch.no_grad():
        for mean, now in pairs:
            mean.lerp_(now, 1 - share)


def _run_loop(module: _TrainingModule, corpora: Sequence[Corpus], recipe: Recipe) -> None:
    windows = TrainingWindows(corpora, recipe.batch, recipe.seed, first=module.state.step)
    loader = DataLoader(windows, batch_size=None, num_workers=0)
    trainer = lightning.Trainer(
        max_steps=-1,
        accelerator="gpu" if torch.cuda.is_available() else "cpu",
        devices=1,
        gradient_clip_val=recipe.clip,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        # Lightning's own calls into torch, and advice that does not apply: the loader's items are
        # whole batches, and the module ends the training itself
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*max_epochs.*")
        trainer.fit(module, loader)


def _weights_sum(network: ForecastNetwork) -> float:
    """Return a number that differs between initial weights."""
    return float(sum(p.detach().double().abs().sum() for p in network.parameters()))


def _corpus_entry(corpus: Corpus) -> dict[str, Any]:
    first, end = corpus.history.span
    return {
        "name": corpus.name,
        "servers": len(corpus.history.servers),
        "from": first.isoformat(),
        "to": end.isoformat(),
        "weight": corpus.weight,
        "clock_known": corpus.clock_known,
        "licence": corpus.licence,
    }
