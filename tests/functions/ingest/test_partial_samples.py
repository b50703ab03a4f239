"""Partial samples: columns by server and part, merged and cut out by timestamp."""

from functions.ingest.partial_samples import PartialSamples


def samples(*values: tuple[str, str, int, float]) -> PartialSamples:
    made = PartialSamples()
    for server, kind, ts, value in values:
        made.add(server, (kind, ""), ts, value)
    return made


def test_values_are_columns_by_server_and_part() -> None:
    made = samples(("a", "load_average", 1, 0.5), ("a", "load_average", 2, 0.7))
    assert made.servers == {"a": {("load_average", ""): ([1, 2], [0.5, 0.7])}}
    assert made
    assert not PartialSamples()


def test_merging_adds_to_known_parts_and_takes_up_new_servers() -> None:
    made = samples(("a", "load_average", 1, 0.5))
    made.merge(samples(("a", "load_average", 2, 0.7), ("b", "cores", 1, 8)))
    assert made.timestamps() == {"a": {1, 2}, "b": {1}}
    assert made.servers["a"]["load_average", ""][1] == [0.5, 0.7]


def test_timestamps_are_cut_out_and_the_rest_stays() -> None:
    later = samples(("a", "load_average", 0, 1), ("a", "load_average", 5, 2), ("a", "cores", 5, 3))
    early = later.cut_out({"a": {0}, "b": {5}})
    assert early.servers == {"a": {("load_average", ""): ([0], [1])}}
    assert later.timestamps() == {"a": {5}}
    assert later.cut_out({"a": {5}})
    assert not later


def test_columns_without_a_value_are_removed() -> None:
    made = samples(("a", "load_average", 1, 0.5))
    made.column("a", ("cores", ""))
    made.column("b", ("cores", ""))
    made.drop_empty()
    assert made.servers == {"a": {("load_average", ""): ([1], [0.5])}}


def test_the_memory_of_samples_grows_with_servers_parts_and_values() -> None:
    one = samples(("a", "load_average", 1, 0.5)).memory_bytes
    two = samples(("a", "load_average", 1, 0.5), ("a", "load_average", 2, 0.5)).memory_bytes
    three = samples(("a", "load_average", 1, 0.5), ("b", "load_average", 2, 0.5)).memory_bytes
    assert 0 < one < two < three
    assert PartialSamples().memory_bytes == 0
