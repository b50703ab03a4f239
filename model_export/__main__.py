"""Train, export, verify and evaluate from the command line; `python -m model_export --help`.

python -m model_export train --history var/history --out var/tft.ckpt
python -m model_export export --checkpoint var/tft.ckpt --out var/models/tft.onnx
python -m model_export verify --checkpoint var/tft.ckpt --model var/models/tft.onnx
python -m model_export evaluate --model var/models/tft.onnx --history var/history
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model_export.calibrate import calibrate
from model_export.card import read_card
from model_export.export import SHIPPED, export
from model_export.train import Recipe, load_checkpoint, save_checkpoint, train
from model_export.verify import ParityError, forecasting, parity
from model_export.windows import Corpus
from storage.history import WINDOW_STEPS, History, HistoryError, load
from storage.scoring import HELD_OUT_STEPS, evaluate, held_out_windows


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it succeeded, 1 with a message when it could not."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    asked = _arguments(arguments)
    try:
        _COMMANDS[asked.command](asked)
    except (HistoryError, ParityError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _train(asked: argparse.Namespace) -> None:
    history = _history(asked.history)
    learned = history
    if history.steps > WINDOW_STEPS + 2 * HELD_OUT_STEPS:
        learned = history.before(-HELD_OUT_STEPS)  # the last days are for calibration and scores
    start = load_checkpoint(asked.start) if asked.start else None
    recipe = Recipe(asked.steps, asked.batch, asked.rate, seed=asked.seed, threads=asked.threads)
    corpus = Corpus("history", learned, clock_known=not asked.clock_unknown)
    checkpoint = train([corpus], recipe, start=start, say=_progress)
    if learned is not history:
        calibrate(checkpoint.network, [held_out_windows(history)])
    save_checkpoint(checkpoint, asked.out)
    _say(f"{asked.out}: {checkpoint.windows_seen} windows seen, {checkpoint.epochs:.2f} epochs")


def _export(asked: argparse.Namespace) -> None:
    card = export(load_checkpoint(asked.checkpoint), asked.out, datetime.now(UTC))
    _say(f"{asked.out}: {asked.out.stat().st_size} bytes, parity in σ {card['parity_sigma']}")


def _verify(asked: argparse.Namespace) -> None:
    network = load_checkpoint(asked.checkpoint).network
    told = read_card(asked.model)
    _say(f"{asked.model}: made {told['created_at']}, schema {told['schema_hash']}")
    for size, worst in parity(network, asked.model).items():
        _say(f"batch {size:>3}: torch and onnxruntime differ by {worst:.1e} σ at most")


def _evaluate(asked: argparse.Namespace) -> None:
    for name, score in evaluate(forecasting(asked.model), _history(asked.history)).items():
        _say(f"{name:18} {score}")


_COMMANDS = {"train": _train, "export": _export, "verify": _verify, "evaluate": _evaluate}


def _history(places: Sequence[Path]) -> History:
    """All Parquet files named, or found in folders named."""
    files = [f for p in places for f in (sorted(p.glob("**/*.parquet")) if p.is_dir() else [p])]
    if not files:
        raise HistoryError(f"{', '.join(map(str, places))}: no Parquet file there")
    return load(files)


def _progress(done: int, total: int, loss: float, left_s: float) -> None:
    if done % 200 == 0 or done == total:
        _say(f"step {done} of {total}  loss {loss:.4f}  {left_s / 60:.1f} min left")


def _say(line: str) -> None:
    print(line, flush=True)


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m model_export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    usual = Recipe()
    history: dict[str, Any] = {
        "type": Path,
        "nargs": "+",
        "required": True,
        "help": "Parquet files or folders",
    }
    model: dict[str, Any] = {
        "type": Path,
        "default": SHIPPED,
        "help": "model file (default: the shipped one)",
    }
    one = commands.add_parser("train", help="learn from history, afresh or from a checkpoint")
    one.add_argument("--history", **history)
    one.add_argument("--out", type=Path, required=True, help="checkpoint to write")
    one.add_argument("--start", type=Path, help="checkpoint to go on from")
    one.add_argument("--steps", type=int, default=usual.steps)
    one.add_argument("--batch", type=int, default=usual.batch, help="windows per step")
    one.add_argument("--rate", type=float, default=usual.rate, help="highest learning rate")
    one.add_argument("--seed", type=int, default=usual.seed)
    one.add_argument("--threads", type=int, default=usual.threads)
    one.add_argument("--clock-unknown", action="store_true", help="time of day is not the true one")
    one = commands.add_parser("export", help="write a checkpoint as ONNX, verified, with its card")
    one.add_argument("--checkpoint", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True, help="model file to write")
    one = commands.add_parser("verify", help="compare a model file with its checkpoint")
    one.add_argument("--checkpoint", type=Path, required=True)
    one.add_argument("--model", **model)
    one = commands.add_parser("evaluate", help="score the last 4.7 days against plain forecasts")
    one.add_argument("--model", **model)
    one.add_argument("--history", **history)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
