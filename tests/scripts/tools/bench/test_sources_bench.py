from functions.normalize.mapper import Mapper
from functions.normalize.mapping import read_mapping
from scripts.tools.bench import sources_bench
from scripts.tools.bench.sources_bench import DocumentsInMemory
from storage.model.metrics import METRIC_NAMES
from tests.conftest import NOW


def test_flat_documents_map_to_all_metrics() -> None:
    documents = sources_bench.flat()[:50]
    mapped = Mapper(read_mapping({"stock": "flat"}), "bench").map(documents)
    assert (mapped.rows.num_rows, mapped.rejects.count) == (50, 0)
    assert set(METRIC_NAMES) <= set(mapped.rows.column_names)


def test_documents_of_metricbeat_map_without_rejects() -> None:
    documents = sources_bench.nested()[:50]
    mapped = Mapper(read_mapping({"stock": "metricbeat"}), "bench").map(documents)
    assert mapped.rejects.count == 0
    assert {"cpu_user_pct", "mem_used_pct", "load_average"} <= set(mapped.rows.column_names)


def test_documents_come_in_pages_from_a_position_on() -> None:
    pages = list(DocumentsInMemory([{"n": n} for n in range(25_000)]).pages(10_000, NOW))
    assert [len(page.documents) for page in pages] == [10_000, 5_000]
    assert pages[0].documents[0] == {"n": 10_000}
