"""`hoursight train` and `export`: read the history, train, compare with the serving model."""

import fcntl
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from functions.engine.forecaster import SHIPPED, Forecaster
from functions.rules.evaluation.promotion import Verdict
from functions.trainer.trainer_loop import REMEDY
from scripts.cli.history_reading import read_history
from scripts.cli.printer import console
from scripts.cli.promotion_gate import acted_windows, judge
from scripts.cli.training_log import TrainingLog
from storage import model_registry
from storage.config.folders import Folders
from storage.errors import HoursightError
from storage.model.grid import STEP
from storage.platform.private_files import open_lock
from storage.platform.trusted_files import check_trusted
from storage.query.history import History, from_lake
from storage.query.reader import Reader

if TYPE_CHECKING:
    from model_export.fine_tuning import FineTuned, HistorySplit
    from model_export.train import Checkpoint, Recipe

__all__ = ["TrainingOptions", "TrainingUnable", "command", "export_command", "training_lock"]

LARGEST_BYTES = 1_500_000_000  # of history in memory; fewer days are taken of a larger fleet
STEP_BYTES = 14 * 4
DAY_STEPS = 288
Say = Callable[..., Any]


class TrainingUnable(HoursightError):
    """A training that is not possible with these options; the message names the remedy."""


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The options of the command."""

    data: Path
    files: tuple[Path, ...] = ()
    time_format: str = "iso"
    time_zone: str | None = None
    start: str = "serving"  # or shipped, or scratch
    seed: int = 0
    steps: int | None = None
    minutes: float | None = None
    days: float = 60.0
    threads: int = 1
    fresh: bool = False
    promote: bool = True
    training: str | None = None  # its id in the table `trainings`, from the trainer


def command(options: TrainingOptions, say: Say) -> bool:
    """Train, compare, and promote the model if it is better; return True if it is."""
    folders = Folders.at(options.data).create()
    training_log = TrainingLog(folders, options.training)
    with training_log.failures():
        _check_torch()
        logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
        with training_lock(folders):
            training_log.started(model_registry.fingerprint(folders.own_model or SHIPPED))
            history = _history(folders, options, say)
            return _trained(folders, options, history, training_log, say)


def _trained(
    folders: Folders,
    options: TrainingOptions,
    history: History,
    training_log: TrainingLog,
    say: Say,
) -> bool:
    from model_export.fine_tuning import split_history
    from model_export.train import save_checkpoint

    first, end = history.span
    say(
        f"{len(history.servers)} servers, {first:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC; "
        f"from {options.start}, seed {options.seed}"
    )
    split = split_history(history)
    start = _start(folders, options.start)
    tuned = _fine_tune(folders, options, split, start, training_log, say)
    say(
        f"On hosts and hours kept aside: {tuned.loss:.3f} of naive; of what was learned "
        f"{tuned.kept_share:.0%} is followed."
    )
    if not tuned.kept_share:
        why = "What it began with is better than what was learned: there is no candidate."
        say(why)
        training_log.ended("refused", why)
        _forget(folders)
        return False
    now = datetime.now(UTC)
    name = _free_name(folders, now)
    save_checkpoint(tuned.checkpoint, folders.models / f"{name}.pt")
    verdict = _gated(folders, name, tuned.checkpoint, split, history, now)
    _forget(folders)
    better = _decide(folders, name, verdict, options.promote, now, say)
    training_log.ended(
        "promoted" if better and options.promote else "refused",
        verdict.why,
        model=model_registry.fingerprint(folders.models / f"{name}.onnx"),
        verdict=json.dumps(verdict.as_dict()),
    )
    return better


def _gated(
    folders: Folders,
    name: str,
    checkpoint: "Checkpoint",
    split: "HistorySplit",
    history: History,
    now: datetime,
) -> Verdict:
    """Export the candidate, compare it with the serving model, and write how into its card."""
    from model_export.export import export
    from model_export.parity_check import onnx_forecast, torch_forecast

    path = folders.models / f"{name}.onnx"
    serving = Forecaster.serving(folders)
    verdict = judge(
        split.test, split.shifted, torch_forecast(checkpoint.network), onnx_forecast(serving.path),
        acted_windows(folders, history, split.test.origins),
    )  # fmt: skip
    scores = {"gate": verdict.as_dict() | {"against": serving.hash}}
    export(checkpoint, path, now, scores, "hoursight train")
    return verdict


def _decide(
    folders: Folders, name: str, verdict: Verdict, promote: bool, now: datetime, say: Say
) -> bool:
    compared = {"all metrics": verdict.overall, **verdict.groups, **verdict.profiles}
    for group, each in compared.items():
        say(f"  {group:16} {each.candidate:.3f} of naive, serving {each.serving:.3f}")
    say(f"  {'jump':16} {verdict.jumps[0]:.3f} of the band, serving {verdict.jumps[1]:.3f}")
    path = folders.models / f"{name}.onnx"
    card = Forecaster.open(path).card
    model_registry.model_event_row(folders, "candidate", path, verdict.why, card, now)
    if removed := model_registry.prune(folders):
        kept = model_registry.MODELS_KEPT
        say(f"{', '.join(removed)} removed: the newest {kept} candidates are kept.")
    if not (verdict.promote and promote):
        say(f"{name} stays a candidate: {verdict.why}.")
        say(f"To let it serve all the same: hoursight models promote {name}")
        return verdict.promote
    model_registry.promote(folders, name)
    model_registry.model_event_row(folders, "promoted", path, verdict.why, card, now)
    say(f"{name} serves from now on: {verdict.why}. Back: hoursight models rollback")
    return True


def export_command(data: Path, name: str, target: Path, say: Say) -> None:
    """Write weights as a model file, with the graph that this version makes, verified."""
    _check_torch()
    from model_export.export import export

    folders = Folders.at(data)
    checkpoint = _weights(folders, name)
    card = export(checkpoint, target, datetime.now(UTC), command=f"hoursight export {name}")
    worst = max(card["parity_sigma"].values())
    say(f"{target}: {target.stat().st_size:,} bytes; PyTorch and ONNX differ by {worst:.1e} σ")


def _check_torch() -> None:
    try:
        import lightning  # noqa: F401  # only whether they are installed
        import onnx  # noqa: F401
        import pytorch_forecasting  # noqa: F401
        import torch  # noqa: F401
    except ImportError as error:
        raise TrainingUnable(f"{error.name} is not installed: {REMEDY}") from error


def _history(folders: Folders, options: TrainingOptions, say: Say) -> History:
    """Return the history to learn from; that of the training that was cut off, if there is one."""
    plan, identity = folders.models / "training.json", _identity(options)
    kept = json.loads(plan.read_text()) if plan.exists() else {}
    if options.fresh or kept.get("asked") != identity:
        _forget(folders)
        kept = {}
    history = _read(folders, options, kept.get("first"), say)
    if kept:
        say("Resuming the training that was cut off (--fresh starts anew).")
        history = _cut(history, datetime.fromisoformat(kept["end"]))
    first, end = (ts.isoformat() for ts in history.span)
    plan.write_text(json.dumps({"asked": identity, "first": first, "end": end}))
    return history


def _cut(history: History, end: datetime) -> History:
    """Return the history up to `end`."""
    later = (history.span[1] - end) // STEP
    return history.before(-later) if later > 0 else history


def _identity(options: TrainingOptions) -> dict[str, Any]:
    """Return the options by which a training that was cut off is recognised."""
    identity = asdict(options) | {"data": None, "fresh": None, "promote": None, "training": None}
    return identity | {"files": [str(path.absolute()) for path in options.files]}


def _forget(folders: Folders) -> None:
    for name in ("training.json", "training.progress"):
        (folders.models / name).unlink(missing_ok=True)


def _read(folders: Folders, options: TrainingOptions, first: str | None, say: Say) -> History:
    """Read files, or from the lake as many days as the options say, or all since `first`."""
    if not options.files:
        return _read_lake(folders, options.days, first, say)
    loaded = read_history(options.data, options.files, options.time_format, options.time_zone)
    for reason in loaded.reasons:
        say(f"left out: {reason}")
    return loaded.history


def _read_lake(folders: Folders, days: float, first: str | None, say: Say) -> History:
    reader = Reader.open(folders.data)
    try:
        servers = int(reader.query("SELECT count(*) AS n FROM servers")["n"][0].as_py())
        most = LARGEST_BYTES // (max(servers, 1) * STEP_BYTES)
        steps = round(days * DAY_STEPS)
        if steps > most:
            say(f"Of {servers:,} servers only the last {most / DAY_STEPS:.1f} days fit in memory.")
        if first is None:
            return from_lake(reader, min(steps, most))
        begin = datetime.fromisoformat(first)
        whole = from_lake(reader, (datetime.now(UTC) - begin) // STEP + 1)
        return whole.last((whole.span[1] - begin) // STEP)
    finally:
        reader.close()


def _start(folders: Folders, start: str) -> "Checkpoint | None":
    return None if start == "scratch" else _weights(folders, start)


def _weights(folders: Folders, name: str) -> "Checkpoint":
    """Load weights by model: shipped, serving, a name in the registry, or a .pt file."""
    from model_export.train import load_checkpoint

    shipped = SHIPPED.with_suffix(".pt")
    own = folders.own_model
    if name == "shipped" or (name == "serving" and own is None):
        return load_checkpoint(shipped)
    if name == "serving" and own is not None:
        weights = model_registry.weights_of(folders, own)
        if weights is None:
            raise TrainingUnable(
                f"{own} has no weights beside it from which to go on: take --from shipped, or "
                "promote a model that was trained here"
            )
        check_trusted(weights)
        return load_checkpoint(weights)
    if name.endswith(".pt"):
        return load_checkpoint(Path(name))
    weights = model_registry.path_of(folders, name).with_suffix(".pt")
    check_trusted(weights)
    return load_checkpoint(weights)


def _recipe(options: TrainingOptions) -> "Recipe":
    from model_export.fine_tuning import FINE_TUNING, FROM_SCRATCH
    from model_export.train import ENDLESS

    usual = FROM_SCRATCH if options.start == "scratch" else FINE_TUNING
    return replace(
        usual,
        steps=options.steps or (ENDLESS if options.minutes else usual.steps),
        minutes=options.minutes,
        seed=options.seed,
        threads=options.threads,
    )


def _fine_tune(
    folders: Folders,
    options: TrainingOptions,
    split: "HistorySplit",
    start: "Checkpoint | None",
    training_log: TrainingLog,
    say: Say,
) -> "FineTuned":
    from model_export.fine_tuning import fine_tune

    columns = (TextColumn("Training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
               TextColumn("{task.fields[loss]}"))  # fmt: skip
    with Progress(*columns, console=console(err=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("Training", total=None, loss="")

        def on(done: int, total: int, loss: float, left_s: float) -> None:
            progress.update(task, completed=done, total=total, loss=f"loss {loss:.3f}")
            training_log.progressed(done / total)
            if progress.disable and done % 100 == 0:
                say(f"step {done} of {total}, loss {loss:.3f}, {left_s / 60:.1f} min left")

        keep = folders.models / "training.progress"
        if keep.exists():
            check_trusted(keep)
        return fine_tune(split, _recipe(options), start, on_progress=on, progress_file=keep)


def _free_name(folders: Folders, now: datetime) -> str:
    """Return a name with the time of the training that no other model has."""
    stem = f"tft-{now:%Y%m%d-%H%M}"
    taken = set(model_registry.names(folders))
    return next(n for n in (stem, *(f"{stem}-{i}" for i in range(2, 1000))) if n not in taken)


@contextmanager
def training_lock(folders: Folders, name: str = "training") -> Iterator[None]:
    """Hold the lock of the only process of its kind in a data folder; its end releases it."""
    with open_lock(folders.models / f"{name}.lock") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingUnable(
                f"another process does the {name} of {folders.data}: wait for it, or end it"
            ) from error
        yield
