"""How fast the scheduler is, beside floors and peers that do the same work: `python -m benchmarks`."""
