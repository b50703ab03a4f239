"""The label that names a server, or several."""

from collections.abc import Sequence

import pytest

from functions.ingest.server_label import INSTANCE, ServerLabel

SERIES = {"instance": "web1:9100", "cluster": "eu1", "nodename": "ip-10-0-0-7", "job": ""}


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ("instance", "web1"), ("nodename", "ip-10-0-0-7"), (["cluster", "instance"], "eu1/web1"),
        (["zone", "instance"], "web1"), ("zone", ""), (["job", "zone"], ""),
    ],
)  # fmt: skip
def test_a_server_is_named_by_the_labels_that_its_series_has(
    labels: str | Sequence[str], name: str
) -> None:
    assert ServerLabel(labels).name(SERIES) == name


def test_the_stock_label_is_the_instance() -> None:
    assert (INSTANCE.name(SERIES), str(INSTANCE)) == ("web1", "instance")
    assert str(ServerLabel(["cluster", "instance"])) == "cluster, instance"
