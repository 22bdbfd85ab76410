"""Encoders, discriminators and the tensors that pass between them."""
