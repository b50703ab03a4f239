import json

from storage.model.reject_log import MAX_EXAMPLE_CHARS, MAX_LISTED, MAX_REASONS, OTHER, RejectLog


def test_equal_reasons_are_counted_together_with_the_first_example() -> None:
    log = RejectLog()
    log.add("load: not a number", "'x' of a", remedy="send a number")
    log.add("load: not a number", "'y' of b", 2, "send a number")
    assert log.count == 3
    assert log.sentences() == ("load: not a number, as 'x' of a: send a number (3 times)",)


def test_the_most_frequent_reason_comes_first_and_ties_keep_their_order() -> None:
    log = RejectLog()
    for reason, count in (("rare", 1), ("also rare", 1), ("frequent", 9)):
        log.add(reason, "x", count)
    assert [each.reason for each in log.ranked()] == ["frequent", "rare", "also rare"]
    assert log.sentences()[1] == "rare, as x (once)"


def test_any_number_of_reasons_takes_bounded_memory_and_no_count_is_lost() -> None:
    log = RejectLog()
    for number in range(5 * MAX_REASONS):
        log.add(f"{number} is not a value", "x" * 10_000)
    assert log.count == 5 * MAX_REASONS
    assert len(log.ranked()) == MAX_LISTED
    assert log.ranked()[0].reason == OTHER
    assert log.ranked()[0].count == 4 * MAX_REASONS
    assert len(log.ranked()[0].example) == MAX_EXAMPLE_CHARS + 1


def test_a_merged_log_has_the_reasons_and_the_count_of_both() -> None:
    one, other = RejectLog(), RejectLog()
    one.add("late", "a", 2)
    other.add("late", "b", 3)
    other.count += 4  # unreadable records, which have no reason of their own
    one.merge(other)
    assert one.count == 9
    assert [(each.example, each.count) for each in one.ranked()] == [("a", 5)]


def test_a_note_on_rows_that_were_kept_refuses_nothing() -> None:
    log = RejectLog()
    assert not log
    log.add("kept, but odd", "", 0)
    assert log
    assert log.count == 0


def test_clamped_values_have_a_count_of_their_own_and_come_after_what_is_refused() -> None:
    log, other = RejectLog(), RejectLog()
    log.clamp("mem: 100.01 %, stored as the bound", "a", 5)
    log.add("late", "b")
    other.clamp("mem: 100.01 %, stored as the bound", "c", 2)
    log.merge(other)
    assert (log.count, log.clamped) == (1, 7)
    assert [(each.reason[:4], each.count) for each in log.ranked()] == [("late", 1), ("mem:", 7)]


def test_an_example_stays_as_it_is_where_it_is_short_and_is_printable_in_sentences() -> None:
    log = RejectLog()
    log.add("no time", {"host": "a"})
    log.add("no server", "a\x00b\u202e")
    assert json.dumps([each.example for each in log.ranked()][:1]) == '[{"host": "a"}]'
    assert log.sentences()[1] == "no server, as a\\x00b\\u202e (once)"


def test_a_listed_reason_is_a_copy() -> None:
    log = RejectLog()
    log.add("late", "a")
    log.ranked()[0].count = 99
    assert log.ranked()[0].count == 1


def test_what_was_kept_is_noted_with_a_count_and_is_not_refused() -> None:
    log, other = RejectLog(), RejectLog()
    log.note("assumed", "02:00 of a", 3, "write the zone")
    other.add("no server", "a")
    other.merge(log)
    assert (log.count, other.count) == (0, 1)
    assert log.sentences() == ("assumed, as 02:00 of a: write the zone (3 times)",)
    assert len(other.sentences()) == 2


def test_a_reason_with_a_long_text_of_the_sender_is_cut() -> None:
    log = RejectLog()
    for _ in range(2):
        log.add(f"{'x' * 100_000} is not a tag", "m,x v=1")
    [reason] = log.ranked()
    assert (len(reason.reason), reason.count, log.count) == (1001, 2, 2)
