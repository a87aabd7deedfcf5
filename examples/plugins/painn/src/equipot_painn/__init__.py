"""A PaiNN-like model builder for equipot."""
