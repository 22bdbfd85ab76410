"""Domains: reading them, matching their label spaces, and turning them into paired batches."""
