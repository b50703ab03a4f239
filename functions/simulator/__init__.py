"""Simulator: an imaginary fleet, its incidents, and the 14 metrics that show them."""
