"""What `benchmarks/engines.py` measures, by subject."""
