"""The parts of `benchmark_speed.py`, one file each, and what they share."""
