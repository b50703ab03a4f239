"""Channels: one module for each kind of receiver."""
