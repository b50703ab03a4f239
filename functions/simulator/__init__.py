"""Servers that do not exist: a fleet, what befalls it, and the 14 metrics that show it."""
