"""Facts as rows of their table."""

from functions.normalize.fact_rows import FactRow, fact_rows
from storage.model.schema import table


def test_facts_are_rows_of_their_table() -> None:
    rows = fact_rows([FactRow("a", 1_000_000, None, "fra", 8, "/var", "eth0, eth1")])
    assert rows.schema == table("server_facts").arrow
    [row] = rows.to_pylist()
    assert (row["server"], row["ts"].timestamp(), row["cores"]) == ("a", 1.0, 8)
    assert (row["disk_volume"], row["net_links"]) == ("/var", "eth0, eth1")


def test_no_facts_are_a_table_without_rows() -> None:
    assert fact_rows([]).schema == table("server_facts").arrow
