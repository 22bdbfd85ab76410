"""The Hub: pushing a run, and what can go wrong there."""
