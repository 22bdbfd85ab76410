"""Edits of text that keep its labels: for training rows, and for views of a batch."""
