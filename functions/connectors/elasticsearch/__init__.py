"""Elasticsearch connector: reads indices and data streams in time order, and never writes."""

from functions.connectors.elasticsearch.elasticsearch_reader import MAPPING, connect

__all__ = ["MAPPING", "connect"]
