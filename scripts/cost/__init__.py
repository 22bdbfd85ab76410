"""The parts of `benchmark_cost.py` and `gpu_checks.py`: what is measured, the arithmetic, the fit."""
