"""The tables of tests in docs/sources.md: every test exists, and runs where they say."""

import re
from pathlib import Path

from tests.functions.connectors import test_files
from tests.functions.connectors.connector_contract import Contract, Rig
from tests.functions.connectors.elasticsearch import test_elasticsearch_reader
from tests.functions.connectors.elasticsearch.elastic_rig import ElasticRig
from tests.functions.connectors.mongodb import test_mongodb_reader
from tests.functions.connectors.mongodb.mongod_rig import MongodRig
from tests.functions.connectors.prometheus import test_prometheus_reader
from tests.functions.connectors.prometheus.prometheus_rig import PrometheusRig

ROOT = Path(__file__).parents[3]
RIGS: dict[str, type[Rig]] = {
    test_mongodb_reader.TestMongodb.__name__: MongodRig,
    test_elasticsearch_reader.TestElasticsearch.__name__: ElasticRig,
    test_prometheus_reader.TestPrometheus.__name__: PrometheusRig,
    test_files.TestFiles.__name__: test_files.FolderRig,
}
CASES = [name for name in vars(Contract) if name.startswith("test_")]


def tables() -> list[list[list[str]]]:
    """The tables in the section on tests, as rows of cells."""
    text = (ROOT / "docs" / "sources.md").read_text()
    section = text[text.index("## What is tested") : text.index("## Writing a connector")]
    texts = re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    return [
        [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()]
        for table in texts
    ]


def test_every_case_is_listed_with_the_connectors_that_run_it() -> None:
    (_, _, *adapters), _, *rows = tables()[0]
    assert adapters == list(RIGS)
    assert sorted(name for _, name, *_ in rows) == sorted(CASES)
    for _, name, *cells in rows:
        for adapter, cell in zip(adapters, cells, strict=True):
            skipped = any(case in name for case in RIGS[adapter].cannot)
            assert (cell != "yes") == skipped, (adapter, name)


def test_every_listed_test_of_the_push_endpoints_exists() -> None:
    places = [
        *(ROOT / "tests/functions/ingest").glob("test_*.py"),
        ROOT / "tests/web/api/test_ingest_api.py",
        ROOT / "tests/web/test_auth.py",
    ]
    defined = {
        name for path in places for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)
    }
    _, _, *rows = tables()[1]
    assert len(rows) == 7
    for _, *names in rows:
        assert set(names) <= defined
