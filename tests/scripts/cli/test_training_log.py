from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from functions.trainer.trainer_loop import training_command
from scripts.cli.model_commands import train
from scripts.cli.training_log import TrainingLog, request_training
from storage.config.folders import Folders


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders.at(tmp_path).create()


def rows(folders: Folders) -> list[dict[str, Any]]:
    found = [pq.read_table(path).to_pylist()[0] for path in folders.inbox.glob("*trainings*")]
    return sorted(found, key=lambda row: row["ts"])


def test_a_training_records_its_start_each_tenth_and_its_end(folders: Folders) -> None:
    log = TrainingLog(folders, "t1")
    with log.failures():
        log.started("m0")
        for share in (0.05, 0.1, 0.15, 0.25, 1.0):
            log.progressed(share)
        log.ended("promoted", "better", model="m1", verdict="{}")
    made = rows(folders)
    assert [row["event"] for row in made] == ["started", "progress", "progress", "promoted"]
    assert [row["progress"] for row in made[:3]] == pytest.approx([0.0, 0.1, 0.25])
    assert {row["training"] for row in made} == {"t1"}
    assert (made[0]["serving"], made[0]["cause"], made[-1]["model"]) == ("m0", None, "m1")


def test_an_error_ends_a_training_that_was_due_even_before_its_start(folders: Folders) -> None:
    log = TrainingLog(folders, "t1")
    with pytest.raises(KeyError), log.failures():
        raise KeyError("damaged")
    (row,) = rows(folders)
    assert (row["event"], row["reason"]) == ("failed", "'damaged'")


def test_a_signal_ends_no_training(folders: Folders) -> None:
    log = TrainingLog(folders, None)
    log.started(None)
    with pytest.raises(KeyboardInterrupt), log.failures():
        raise KeyboardInterrupt
    assert [(row["event"], row["cause"]) for row in rows(folders)] == [("started", "command")]


def test_a_command_that_never_began_leaves_no_row(folders: Folders) -> None:
    with pytest.raises(OSError, match="no file"), TrainingLog(folders, None).failures():
        raise OSError("no file")
    assert rows(folders) == []


def test_a_request_is_a_row_for_the_engine(folders: Folders) -> None:
    training = request_training(folders)
    (row,) = rows(folders)
    assert (row["training"], row["event"], row["cause"]) == (training, "requested", "person")


def test_the_command_line_of_the_trainer_is_one_that_the_command_takes(folders: Folders) -> None:
    *_, module, name = (line := training_command(folders, "t1"))[:6]
    assert (module, name) == ("hoursight", "train")
    context = train.make_context("train", line[6:])
    assert context.params["training"] == "t1"
    assert context.params["data"] == folders.data
    assert (context.params["promote"], context.params["threads"]) == (True, 1)
