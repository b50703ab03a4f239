"""Odds of a breach, and what became of them: pure functions of arrays."""
