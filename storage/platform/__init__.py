"""Platform: durability, failpoints, logging, processes, threads, limits on error texts."""
