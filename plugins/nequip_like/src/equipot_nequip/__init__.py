"""Equivariant message-passing models for equipot."""
