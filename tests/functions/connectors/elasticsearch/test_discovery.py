"""Discovery: the indices that a pattern matches, and the time field that orders their documents."""

import pytest

from functions.connectors.elasticsearch.discovery import discover
from functions.connectors.elasticsearch.pit_search import TimeField
from functions.normalize.mapping import Time
from functions.normalize.strict_toml import SourceInvalid
from tests.conftest import NOW
from tests.functions.connectors.elasticsearch.elastic_rig import document, source_text
from tests.functions.connectors.source_reads import servers_of


def test_the_first_time_field_that_is_mapped_orders_the_documents(writer):
    index = writer.index(when="date", ts="long")
    newest = discover(writer.client, index, Time(("none", "when", "ts")))
    numbers = discover(writer.client, index, Time(("ts",), "epoch_us"))
    assert (newest.field, newest.notes) == (TimeField("when"), ())
    assert numbers.field == TimeField("ts", 1e3)


def test_a_field_that_does_not_sort_by_time_is_passed_over_for_one_that_does(writer):
    index = writer.index(text="keyword", ts="date")
    assert discover(writer.client, index, Time(("text", "ts"))).field == TimeField("ts")


def test_an_index_without_any_field_has_no_time_field_yet(writer):
    index = writer.index(name=f"{writer.index()}-empty", ts="date")
    writer.client.indices.delete(index=index)
    writer.client.indices.create(index=index, mappings={"dynamic": False, "properties": {}})
    assert discover(writer.client, index, Time(("ts",))).field is None


def test_a_pattern_reads_all_its_indices_and_names_those_without_the_time_field(
    front, writer, open_read
):
    one = writer.index()
    writer.index(name=f"{one}-nanos", ts="date_nanos")
    writer.index(name=f"{one}-other", when="date")
    read = open_read(source_text(front, f"{one}*"))
    writer.put(one, [document(0, "a"), document(2, "c")])
    writer.put(f"{one}-nanos", [document(1, "b")])
    batch = read.run(NOW, None)
    assert servers_of(batch) == ["a", "b", "c"]
    assert batch.reasons == (f"indices skipped because they have no field 'ts': {one}-other",)


@pytest.mark.parametrize("index", ["hoursight-test-none", "hoursight-test-none-*"])
def test_a_missing_index_is_reported_with_those_available_and_read_once_it_exists(
    front, writer, open_read, index
):
    available = writer.index()
    read = open_read(source_text(front, index))
    batch = read.run(NOW, None)
    start = f"no readable index or data stream matches '{index}' (available: "
    assert batch.reasons[0].startswith(start)
    assert available in batch.reasons[0]
    created = writer.index(name=index.replace("*", "made"))
    writer.put(created, [document()])
    later = read.run(NOW, batch.cursor)
    assert (servers_of(later), later.reasons) == (["web1"], ())


@pytest.mark.parametrize(
    ("types", "message"),
    [
        (
            {"when": "date", "x": "long"},
            r"not in the mapping of .* \(its date fields are when\): name a field of the index",
        ),
        ({"x": "long"}, r"not in the mapping of .* \(it has no date field\): name a field"),
        ({"ts": "keyword"}, "'ts' is mapped as keyword, which does not sort by time: name"),
        ({"ts": "long"}, "holds 'ts' as a number: write one of epoch_s, epoch_ms"),
    ],
)
def test_a_time_field_that_does_not_order_the_documents_is_rejected_with_the_remedy(
    front, writer, open_read, types, message
):
    read = open_read(source_text(front, writer.index(**types)))
    with pytest.raises(SourceInvalid, match=message):
        read.run(NOW, None)
