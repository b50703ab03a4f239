"""MongoDB connector: reads a collection in the order of its time field, and never writes."""

from functions.connectors.mongodb.mongodb_reader import connect

__all__ = ["connect"]
