"""SQL of strangers in a process of its own, which the kernel keeps from everything but reading."""
