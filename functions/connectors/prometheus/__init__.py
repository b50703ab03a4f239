"""Prometheus connector: range queries over node_exporter's series; it never writes."""

from functions.connectors.prometheus.prometheus_reader import MAPPING, connect

__all__ = ["MAPPING", "connect"]
