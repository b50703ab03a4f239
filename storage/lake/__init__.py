"""The lake: its catalog, the writer with commits and maintenance, erasure, backup."""
