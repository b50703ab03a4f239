"""Train the forecaster on windows of history, with Lightning's loop."""

import time
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from model_export.network import PAIRS, Forecaster, Shape
from model_export.windows import Batch, Corpus, Windows
from storage.grid import QUANTILES

__all__ = ["Checkpoint", "Recipe", "load_checkpoint", "save_checkpoint", "train", "weighted_loss"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast to learn."""

    steps: int = 6000
    batch: int = 64
    rate: float = 2e-3  # 3e-3 over-fitted in the prototypes' fine-tuning
    warmup: float = 0.05  # share of steps until the full rate
    decay: float = 1e-2
    clip: float = 1.0
    seed: int = 0
    threads: int = 1


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Trained weights with what the card must tell about them; counts go on over fine-tuning."""

    network: Forecaster
    windows_seen: int
    epochs: float
    corpora: tuple[dict[str, Any], ...]
    seed: int


def train(
    corpora: Sequence[Corpus],
    recipe: Recipe,
    shape: Shape | None = None,
    start: Checkpoint | None = None,
    say: Callable[[str], None] | None = None,
) -> Checkpoint:
    """Train on `corpora`, from `start` where one is given; the same seed gives the same weights.

    `say` is told the progress every 200 steps. An epoch is as many windows as the corpora have
    steps to start one from.
    """
    torch.set_num_threads(recipe.threads)
    lightning.seed_everything(recipe.seed, verbose=False)
    network = deepcopy(start.network) if start else Forecaster(shape)
    network.train().widen([1.0] * PAIRS)  # calibration comes after training
    windows = Windows(corpora, recipe.batch, recipe.seed)
    loader = DataLoader(windows, batch_size=None, num_workers=0)
    with warnings.catch_warnings():
        # of Lightning's own calls into torch, and its advice on workers: batches come ready-made
        warnings.filterwarnings("ignore", message=".*LeafSpec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        _trainer(recipe, say).fit(_Learning(network, recipe), loader)
    seen = recipe.steps * recipe.batch
    places = sum(int(c.history.values.shape[0]) * c.history.steps for c in corpora)
    return Checkpoint(
        network.eval(),
        seen + (start.windows_seen if start else 0),
        seen / places + (start.epochs if start else 0.0),
        tuple(_told(c) for c in corpora),
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
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(told, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote."""
    told = torch.load(path, weights_only=True)
    network = Forecaster(Shape(**told["shape"]))
    network.load_state_dict(told["weights"])
    return Checkpoint(
        network.eval(), told["windows_seen"], told["epochs"], tuple(told["corpora"]), told["seed"]
    )


class _Learning(lightning.LightningModule):
    def __init__(self, network: Forecaster, recipe: Recipe) -> None:
        super().__init__()
        self.network = network
        self.recipe = recipe

    def training_step(self, batch: Batch, _: int) -> Tensor:
        forecast = self.network(batch.context, batch.week_minute, batch.profile)
        return weighted_loss(forecast, batch.target, batch.unit)

    def configure_optimizers(self) -> Any:
        recipe = self.recipe
        optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=recipe.rate, weight_decay=recipe.decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.rate, total_steps=recipe.steps, pct_start=recipe.warmup
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def transfer_batch_to_device(self, batch: Batch, device: Any, _: int) -> Batch:
        moved = {name: getattr(batch, name).to(device) for name in Batch.__slots__}
        return replace(batch, **moved)


class _Progress(lightning.Callback):
    """A line every 200 steps: steps done, loss since the last line, time left."""

    EVERY = 200

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.began = time.monotonic()
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: Any, _module: Any, outputs: Any, *_: Any) -> None:
        self.losses.append(float(outputs["loss"]))
        done, total = trainer.global_step, trainer.max_steps
        if done % self.EVERY and done != total:
            return
        left_s = (time.monotonic() - self.began) / done * (total - done)
        mean = sum(self.losses) / len(self.losses)
        self.say(f"step {done} of {total}  loss {mean:.4f}  {left_s / 60:.1f} min left")
        self.losses.clear()


def _trainer(recipe: Recipe, say: Callable[[str], None] | None) -> lightning.Trainer:
    return lightning.Trainer(
        max_steps=recipe.steps,
        accelerator="cpu",
        gradient_clip_val=recipe.clip,
        callbacks=[_Progress(say)] if say else [],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


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
