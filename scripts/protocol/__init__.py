"""The parts of `benchmark_protocol.py`: what training may not see, and what others have published."""
