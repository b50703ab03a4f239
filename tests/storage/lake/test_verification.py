from contextlib import closing

from storage.lake.verification import Verification
from tests.conftest import NOW, LakeFixture


def put(house: LakeFixture, seconds: int) -> None:
    ts = NOW.replace(second=seconds)
    house.put("metrics", [{"server": "a", "ts": ts, "mem_used_pct": 1.0}])
    house.commit()


def test_progress_counts_bytes_and_a_merge_meanwhile_is_no_damage(house: LakeFixture) -> None:
    put(house, 1)
    put(house, 2)
    steps: list[tuple[int, int]] = []
    with closing(Verification(house.folders.data)) as verification:
        merged_away = [f for f in verification.files if f.table == "metrics"]
        house.writer.merge("metrics")
        for file in merged_away:
            (house.folders.lake / file.path).unlink()
        assert verification.problems(lambda done, total: steps.append((done, total))) == []
    assert len(steps) == len(verification.files)
    assert steps[-1][0] == steps[-1][1] == sum(file.bytes for file in verification.files)
    assert verification.unknown == 0
