"""Queries: readers of the lake, read-only SQL, windows and histories as arrays."""
