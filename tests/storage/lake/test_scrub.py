from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from storage.config.folders import Folders
from storage.lake.damage_watch import DamageWatch
from storage.lake.file_check import LakeFile
from storage.lake.file_health import read_scrub_state
from storage.lake.hash_manifest import FileHash
from storage.lake.scrub import LEAST_BYTES_PER_S, PAUSE, ROUND_S, Scrub
from tests.conftest import NOW


class Watch:
    """Files of 200 kB by path, each with what reading it comes to."""

    def __init__(self, **outcomes: str) -> None:
        self.outcomes, self.read, self.size = outcomes, list[str](), 200_000

    def files(self) -> list[LakeFile]:
        return [LakeFile(1, 1, "metrics", path, self.size, 1) for path in sorted(self.outcomes)]

    def hashes(self) -> dict[str, FileHash]:
        return {}

    def scrub(self, file: LakeFile, _: FileHash | None) -> str:
        self.read.append(file.path)
        return self.outcomes[file.path]


@pytest.fixture
def watch() -> Watch:
    return Watch(a="sound", b="damaged", c="adopted")


def scrub_of(tmp_path: Path, watch: Watch, now: datetime = NOW) -> Scrub:
    return Scrub(Folders.at(tmp_path), cast(DamageWatch, watch), now)


def seconds(scrub: Scrub, begin: float, end: float) -> Iterator[None]:
    for second in range(int(begin), int(end)):
        yield
        scrub.step(second, NOW + timedelta(seconds=second))


def run(scrub: Scrub, begin: float, end: float) -> None:
    for _ in seconds(scrub, begin, end):
        pass


def test_a_round_reads_each_file_once_and_counts_what_came_of_it(
    tmp_path: Path, watch: Watch
) -> None:
    run(scrub_of(tmp_path, watch), 0, 600)
    assert watch.read == ["a", "b", "c"]
    state = read_scrub_state(Folders.at(tmp_path))
    assert state is not None
    assert (state.files, state.bytes, state.damaged, state.adopted) == (3, 600_000, 1, 1)
    assert state.last_round_ended is not None
    assert state.last_round_files == 3


def test_a_small_lake_is_read_at_the_least_rate(tmp_path: Path, watch: Watch) -> None:
    run(scrub_of(tmp_path, watch), 0, 3)
    assert watch.read == ["a", "b"]
    assert watch.size / LEAST_BYTES_PER_S == 2


def test_a_round_of_a_large_lake_takes_three_days(tmp_path: Path, watch: Watch) -> None:
    watch.size = 10**12
    scrub = scrub_of(tmp_path, watch)
    for share in (0.0, 0.32, 0.34, 0.66, 0.68, 1.0, 1.02):
        scrub.step(share * ROUND_S, NOW)
        assert len(watch.read) == min(3, int(share * 3) + 1)
    assert scrub.state.ended == NOW


def test_the_next_round_begins_a_day_after_the_last(tmp_path: Path, watch: Watch) -> None:
    scrub = scrub_of(tmp_path, watch)
    run(scrub, 0, 600)
    scrub.step(1000, NOW + PAUSE - timedelta(seconds=1))
    assert len(watch.read) == 3
    scrub.step(2000, NOW + PAUSE)
    assert watch.read[3:] == ["a"]


def test_after_a_restart_the_round_goes_on_where_it_was(tmp_path: Path, watch: Watch) -> None:
    run(scrub_of(tmp_path, watch), 0, 1)
    run(scrub_of(tmp_path, watch), 0, 600)
    assert watch.read == ["a", "b", "c"]


def test_in_a_hurry_all_files_are_read_at_once_and_at_most_once_an_hour(
    tmp_path: Path, watch: Watch
) -> None:
    scrub = scrub_of(tmp_path, watch)
    run(scrub, 0, 600)
    for now_s in (700.0, 800.0):
        scrub.hurry(now_s)
        while scrub.step(now_s, NOW):
            pass
        assert watch.read[3:] == ["a", "b", "c"]
