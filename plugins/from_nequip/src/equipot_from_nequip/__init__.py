"""Weights and configs of nequip users for equipot."""
