"""Allegro-like strictly local equivariant models for equipot."""
