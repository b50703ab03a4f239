"""Connectors: the adapters that pull samples from a source, one module or folder per kind."""
