"""The foreign system of the demo: what its agent writes is what its mapping reads."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from functions.connectors.source_file import read_source
from functions.normalize.mapper import Mapper
from functions.simulator.simulated_fleet import make_fleet
from functions.simulator.simulated_series import simulate
from scripts.cli import demo_mongodb
from scripts.mongod import DATABASE, READER
from storage.config.folders import Folders
from storage.model.metrics import METRIC_NAMES

MOMENT = datetime(2026, 5, 6, 12, 0, 5, tzinfo=UTC)


def test_the_mapping_turns_the_agents_documents_back_into_the_14_metrics(tmp_path: Path) -> None:
    text = demo_mongodb.SOURCE_FILE.format(
        database=DATABASE, collection="samples", port=1, user=READER, password=tmp_path / "password"
    )
    fleet = make_fleet(7, 7)
    values = simulate(fleet, np.array([int(MOMENT.timestamp())]), [], 7)  # [servers, 1, metrics]
    documents = [
        demo_mongodb._document(server, MOMENT, values[i, 0]) for i, server in enumerate(fleet)
    ]
    mapping = read_source("fleet", text.encode(), Folders.at(tmp_path)).mapping
    mapped = Mapper(mapping, "fleet").map(documents)
    rows = mapped.rows.to_pylist()
    facts = {fact["server"]: fact for fact in mapped.facts.to_pylist()}
    assert mapped.rejects.count == 0
    for i, server in enumerate(fleet):
        assert (rows[i]["server"], rows[i]["ts"]) == (server.name, MOMENT)
        result = [rows[i][name] for name in METRIC_NAMES]
        assert result == pytest.approx(values[i, 0].tolist(), rel=1e-4, abs=0.01)
        reported = {key: facts[server.name][key] for key in ("profile", "site", "cores")}
        assert reported == {"profile": server.profile, "site": server.site, "cores": server.cores}
