"""The tables of docs/sources.md: every test that they name is there, and played where they say."""

import re
from pathlib import Path

from tests.functions.connectors import test_files
from tests.functions.connectors.connector_contract import Contract, Rig
from tests.functions.connectors.elasticsearch import test_elasticsearch
from tests.functions.connectors.mongodb import test_mongodb
from tests.functions.connectors.prometheus import test_prometheus_connector

ROOT = Path(__file__).parents[3]
RIGS: dict[str, type[Rig]] = {
    test_mongodb.TestMongodb.__name__: test_mongodb.MongodRig,
    test_elasticsearch.TestElasticsearch.__name__: test_elasticsearch.ElasticRig,
    test_prometheus_connector.TestPrometheus.__name__: test_prometheus_connector.PrometheusRig,
    test_files.TestFiles.__name__: test_files.FolderRig,
}
CASES = [name for name in vars(Contract) if name.startswith("test_")]


def tables() -> list[list[list[str]]]:
    """The tables of what is tested: rows of cells."""
    text = (ROOT / "docs" / "sources.md").read_text()
    section = text[text.index("## What is tested") : text.index("## Writing a connector")]
    found = re.findall(r"(?:^\|.*\|\n)+", section, re.MULTILINE)
    return [
        [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in table.splitlines()]
        for table in found
    ]


def test_every_scene_is_listed_with_who_plays_it() -> None:
    (_, _, *adapters), _, *rows = tables()[0]
    assert adapters == list(RIGS)
    assert sorted(name for _, name, *_ in rows) == sorted(CASES)
    for _, name, *played in rows:
        for adapter, cell in zip(adapters, played, strict=True):
            left_out = any(scene in name for scene in RIGS[adapter].cannot)
            assert (cell != "yes") == left_out, (adapter, name)


def test_every_test_of_the_feeds_is_there() -> None:
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
    for _, *named in rows:
        assert set(named) <= defined
