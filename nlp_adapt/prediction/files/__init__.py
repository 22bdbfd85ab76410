"""Labelled files out of files: read in chunks, label, write, resume."""
