"""Server label: which label of a series of Prometheus names its server, or which several do."""

from collections.abc import Mapping, Sequence

from storage.model.addresses import host_of

__all__ = ["INSTANCE", "ServerLabel"]

BETWEEN = "/"


class ServerLabel:
    """Names servers by one label or by several, whose values are joined: `eu1/web1`.

    A port is removed from each value, as `instance` has one.
    """

    def __init__(self, labels: str | Sequence[str] = "instance") -> None:
        self.names = (labels,) if isinstance(labels, str) else tuple(labels)

    def __str__(self) -> str:
        return ", ".join(self.names)

    def name(self, labels: Mapping[str, str]) -> str:
        """The name of the server; of several labels those that the series has, '' without any."""
        return BETWEEN.join(host_of(labels[name]) for name in self.names if labels.get(name))


INSTANCE = ServerLabel()
