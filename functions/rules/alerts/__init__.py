"""Alert rules, and the episodes that they open, change and close: pure functions of arrays."""
