"""Train the forecaster on windows of history, with Lightning's loop.

Weights are averaged over the last steps. A training can be taken up again where it was killed,
and the same seed and steps give the same weights, killed or not.
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
    "Recipe",
    "ResumeError",
    "Watch",
    "load_checkpoint",
    "save_checkpoint",
    "train",
    "weighted_loss",
]

ENDLESS = 1_000_000_000  # steps, where only the clock ends a training
KEEP_EVERY_S = 30.0  # of training may be lost to a kill


class ResumeError(HoursightError, ValueError):
    """Progress that cannot be taken up; the message names the file, what differs and the remedy."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast to learn: `steps`, and no longer than `minutes`."""

    steps: int = 6000
    batch: int = 64
    rate: float = 2e-3  # 3e-3 over-fitted in the prototypes' fine-tuning
    warmup: float = 0.05  # share of the time until the full rate, which falls as a cosine then
    decay: float = 1e-2
    clip: float = 1.0
    average: float = 0.998  # the result is the mean of some 500 steps' weights
    seed: int = 0
    threads: int = 1
    minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Stop early: `judge` a network each `every` steps, give up after `patience` without better."""

    judge: Callable[[ForecastNetwork], float]
    every: int
    patience: int


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Trained weights with what the card must tell about them; counts go on over fine-tuning."""

    network: ForecastNetwork
    windows_seen: int
    epochs: float
    corpora: tuple[dict[str, Any], ...]
    seed: int


class Progress(Protocol):
    """What is told of a training: steps done, of how many, the mean loss lately, time left."""

    def __call__(self, done: int, total: int, loss: float, left_s: float, /) -> None: ...


@dataclass(slots=True)
class _TrainingProgress:
    """How far a training is: all that changes while it runs, beside the optimiser."""

    network: ForecastNetwork
    average: ForecastNetwork
    step: int = 0
    spent_s: float = 0.0
    judged: list[tuple[int, float]] = field(default_factory=list)  # step, loss
    best: dict[str, Tensor] | None = None  # weights of the lowest judged loss
    optimiser: dict[str, Any] | None = None


def train(
    corpora: Sequence[Corpus],
    recipe: Recipe,
    shape: Shape | None = None,
    start: Checkpoint | None = None,
    say: Progress | None = None,
    watch: Watch | None = None,
    keep: Path | None = None,
) -> Checkpoint:
    """Train on `corpora`, from `start` where one is given; the same seed gives the same weights.

    With a `watch` the weights that it judged best are the result, and what these have seen counts.

    Progress is kept in the file `keep` and taken up from there; ResumeError when it is another
    training's. An epoch is as many windows as the corpora have steps to start one from.
    """
    torch.set_num_threads(recipe.threads)
    lightning.seed_everything(recipe.seed, verbose=False)
    network = deepcopy(start.network) if start else ForecastNetwork(shape)
    network.train().widen(torch.ones(1))  # calibration comes after training
    course = _TrainingProgress(network, deepcopy(network))
    told = tuple(_told(c) for c in corpora)
    identity = {"recipe": asdict(recipe), "corpora": list(told), "weights": _sum(network)}
    if keep and keep.exists():
        _take_up(course, keep, identity)
    learning = _Learning(course, recipe, watch, say, keep, identity)
    if not learning.finished:
        _fit(learning, corpora, recipe)
    learned = course.step
    if course.best is not None:
        course.average.load_state_dict(course.best)
        learned = min(course.judged, key=lambda pair: pair[1])[0]
    seen = learned * recipe.batch
    places = sum(int(c.history.values.shape[0]) * c.history.steps for c in corpora)
    return Checkpoint(
        course.average.cpu().eval(),
        seen + (start.windows_seen if start else 0),
        seen / places + (start.epochs if start else 0.0),
        told,
        recipe.seed,
    )


def weighted_loss(forecast: Tensor, target: Tensor, unit: Tensor) -> Tensor:
    """Mean pinball loss of [B, 96, 14, 7] against [B, 96, 14] in each series' own `unit` [B, 14].

    Missing targets and abstained forecasts do not count.
    """
    known = ~(torch.isnan(target) | torch.isnan(forecast[..., 0]))  # [B, 96, 14]
    miss = torch.where(known, target, 0)[..., None] - torch.where(known[..., None], forecast, 0)
    levels = torch.tensor(QUANTILES, device=forecast.device)
    pinball = torch.maximum(levels * miss, (levels - 1) * miss).mean(-1)  # [B, 96, 14]
    return (pinball / unit[:, None]).sum() / known.sum().clamp(min=1)


def save_checkpoint(checkpoint: Checkpoint, path: Path) -> None:
    """Write weights and counts; plain tensors and numbers, loadable without running code."""
    told = {
        "shape": checkpoint.network.shape.as_dict(),
        "weights": checkpoint.network.state_dict(),
        "windows_seen": checkpoint.windows_seen,
        "epochs": checkpoint.epochs,
        "corpora": list(checkpoint.corpora),
        "seed": checkpoint.seed,
    }
    _write(told, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote."""
    told = torch.load(path, weights_only=True)
    network = ForecastNetwork(Shape(**told["shape"]))
    weights = told["weights"]
    # one factor per gap, as files of before had them, stands for all leads and metrics
    weights["fusion.widening"] = weights["fusion.widening"].expand_as(network.fusion.widening)
    network.load_state_dict(weights)
    return Checkpoint(
        network.eval(), told["windows_seen"], told["epochs"], tuple(told["corpora"]), told["seed"]
    )


def _write(told: Mapping[str, Any], path: Path) -> None:
    """Put a file there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    torch.save(told, draft)
    os.replace(draft, path)


def _take_up(course: _TrainingProgress, keep: Path, identity: Mapping[str, Any]) -> None:
    told = torch.load(keep, weights_only=True)
    differing = [name for name, value in identity.items() if told["identity"][name] != value]
    if differing:
        raise ResumeError(
            f"{keep}: the training kept there has another {' and '.join(differing)}; "
            "ask for the same, or remove the file to begin anew"
        )
    course.network.load_state_dict(told["network"])
    course.average.load_state_dict(told["average"])
    course.step, course.spent_s = told["step"], told["spent_s"]
    course.judged = [tuple(pair) for pair in told["judged"]]
    course.best, course.optimiser = told["best"], told["optimiser"]


class _Learning(lightning.LightningModule):
    """One training as Lightning sees it: it counts steps anew when resumed, the course does not."""

    def __init__(
        self,
        course: _TrainingProgress,
        recipe: Recipe,
        watch: Watch | None,
        say: Progress | None,
        keep: Path | None,
        identity: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.course = course
        self.network = course.network
        self.recipe = recipe
        self.watch = watch
        self.say = say
        self.keep = keep
        self.identity = identity
        self.losses: list[float] = []
        self.since = self.kept = time.monotonic()

    @property
    def done(self) -> float:
        """Share of the training that is over, by steps or by time, whichever is first."""
        minutes = self.recipe.minutes or math.inf
        by_time = self.course.spent_s / (minutes * 60)
        return min(max(self.course.step / self.recipe.steps, by_time), 1.0)

    @property
    def finished(self) -> bool:
        """Whether time is up, or the watch has lost its patience."""
        return self.done >= 1 or self._hopeless()

    def on_train_batch_start(self, *_: Any) -> None:
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]  # there is one
            group["lr"] = self.recipe.rate * _pace(self.done, self.recipe.warmup)

    def training_step(self, batch: TrainingBatch, _: int) -> Tensor:
        torch.manual_seed(self.recipe.seed * 1_000_003 + self.course.step)  # dropout, resumed alike
        forecast = self.network(batch.context, batch.week_minute, batch.profile)
        return weighted_loss(forecast, batch.target, batch.unit)

    def on_train_batch_end(self, outputs: Any, *_: Any) -> None:
        course, now = self.course, time.monotonic()
        course.step += 1
        course.spent_s += now - self.since
        self.since = now
        self.losses.append(float(outputs["loss"]))
        _lean(course, self.recipe.average)
        if self.watch and (course.step % self.watch.every == 0 or self.done >= 1):
            self._judge(self.watch)
        over = self.finished
        self.trainer.should_stop = over
        self._tell(over)
        if self.keep and (over or now - self.kept > KEEP_EVERY_S):
            self._keep(self.keep)

    def configure_optimizers(self) -> Any:
        optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=self.recipe.rate, weight_decay=self.recipe.decay
        )
        if self.course.optimiser is not None:
            optimiser.load_state_dict(self.course.optimiser)
        return optimiser

    def transfer_batch_to_device(self, batch: TrainingBatch, device: Any, _: int) -> TrainingBatch:
        moved = {name: getattr(batch, name).to(device) for name in TrainingBatch.__slots__}
        return replace(batch, **moved)

    def on_fit_start(self) -> None:
        self.course.average.to(self.device)

    def _judge(self, watch: Watch) -> None:
        course = self.course
        loss = watch.judge(course.average.eval())
        if loss < min((known for _, known in course.judged), default=math.inf):
            course.best = {k: v.detach().clone() for k, v in course.average.state_dict().items()}
        course.judged.append((course.step, loss))

    def _hopeless(self) -> bool:
        judged = self.course.judged
        if not self.watch or not judged:
            return False
        best = min(range(len(judged)), key=lambda i: judged[i][1])
        return len(judged) - 1 - best >= self.watch.patience

    def _tell(self, over: bool) -> None:
        if self.say and (over or self.course.step % 20 == 0):
            step, done = self.course.step, self.done
            total = step if over else max(round(step / done), step)
            left_s = 0.0 if over else self.course.spent_s * (1 - done) / done
            self.say(step, total, sum(self.losses) / len(self.losses), left_s)
            self.losses.clear()

    def _keep(self, path: Path) -> None:
        course = self.course
        self.kept = time.monotonic()
        told = {
            "identity": dict(self.identity),
            "network": course.network.state_dict(),
            "average": course.average.state_dict(),
            "step": course.step,
            "spent_s": course.spent_s,
            "judged": course.judged,
            "best": course.best,
            "optimiser": self.optimizers().optimizer.state_dict(),  # type: ignore[union-attr]
        }
        _write(told, path)


def _pace(done: float, warmup: float) -> float:
    """The learning rate's share of its highest: up in a straight line, down as a cosine."""
    if done < warmup:
        return max(done / warmup, 0.04)
    return 0.5 * (1 + math.cos(math.pi * (done - warmup) / (1 - warmup)))


def _lean(course: _TrainingProgress, share: float) -> None:
    """Move the average towards the network; it keeps `share` of itself, less in the first steps."""
    share = min(share, course.step / (course.step + 9))
    pairs = zip(course.average.parameters(), course.network.parameters(), strict=True)
    with torch.no_grad():
        for mean, now in pairs:
            mean.lerp_(now, 1 - share)


def _fit(learning: _Learning, corpora: Sequence[Corpus], recipe: Recipe) -> None:
    windows = TrainingWindows(corpora, recipe.batch, recipe.seed, first=learning.course.step)
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
        # of Lightning's own calls into torch, and its advice: batches come ready-made, and the
        # training ends itself
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*max_epochs.*")
        trainer.fit(learning, loader)


def _sum(network: ForecastNetwork) -> float:
    """A number by which one start is told from another."""
    return float(sum(p.detach().double().abs().sum() for p in network.parameters()))


def _told(corpus: Corpus) -> dict[str, Any]:
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
