"""Other libraries on the work of `benchmark_peers.py`, each behind one adapter."""
