from pathlib import Path

from functions.delivery.outbox import Outbox
from scripts.tools.crash_deliveries import deliver_episodes, lost_and_doubled
from scripts.tools.lying_receiver import lying_receiver
from storage.config.folders import Folders


def test_episodes_are_delivered_once_to_a_receiver_that_lies(tmp_path: Path) -> None:
    with lying_receiver() as receiver:
        for job_number in (1, 2):  # the second finds nothing to do
            deliver_episodes(tmp_path, [1, 2, 3], job_number, receiver.url)
        assert lost_and_doubled(receiver, [1, 2, 3]) == (0, 0)
        assert lost_and_doubled(receiver, [1, 2, 3, 4, 5]) == (5, 0)
    with Outbox(Folders.at(tmp_path)) as outbox:
        sent = [row for row in outbox.outcomes_after(0)[0] if row["outcome"] == "sent"]
    assert len(sent) == 7  # the second one is a group, of which one ends before the other


def test_a_message_under_two_keys_counts_as_doubled(tmp_path: Path) -> None:
    with lying_receiver() as receiver:
        deliver_episodes(tmp_path, [1], 1, receiver.url)
        receiver.taken["episode-1/critical/hook", "open"].add("another")
        assert lost_and_doubled(receiver, [1]) == (0, 1)
