"""Storage: the lake, the inbox before it, its writer and readers, and what all processes share."""
