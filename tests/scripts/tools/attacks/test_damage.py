import threading
from functools import partial
from pathlib import Path

from scripts.tools.attacks.attack import Instance
from scripts.tools.attacks.damage import ATTACKS
from storage.__main__ import commit_loop
from tests.conftest import NOW, LakeFixture

WITHIN_S = 60.0


def instance(house: LakeFixture) -> Instance:
    return Instance("http://127.0.0.1:1", house.folders, {}, Path("unused"), 0)


def feed(house: LakeFixture, stop: threading.Event) -> None:
    while not stop.wait(0.3):
        house.put("scenarios", [{"ts": NOW, "scenario": "healthy"}])


def test_without_samples_an_attack_says_so(house: LakeFixture) -> None:
    assert ATTACKS[0].play(instance(house)).text == "there are no samples"


def test_a_running_writer_puts_the_file_with_the_flipped_bit_aside(house: LakeFixture) -> None:
    house.put("metrics", [{"server": "a", "ts": NOW, "mem_used_pct": 1.0}])
    house.commit()
    stop = threading.Event()
    threads = [
        threading.Thread(target=partial(commit_loop, house.writer, house.folders, stop)),
        threading.Thread(target=partial(feed, house, stop)),
    ]
    for thread in threads:
        thread.start()
    answer = ATTACKS[0].play(instance(house))
    stop.set()
    for thread in threads:
        thread.join(WITHIN_S)
    assert answer.held, answer.text
    assert "1 rows of metrics (server a, " in answer.text
