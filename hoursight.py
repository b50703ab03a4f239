"""Hoursight."""
