"""Sentence encoders: one that is fetched, and what heads of frozen ones read."""
