"""Several methods trained alike on one recipe, and ranked."""
