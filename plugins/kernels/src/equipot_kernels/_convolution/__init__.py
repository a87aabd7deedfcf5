"""Kernels for message passing: the tensor product and the sum over the edges of an atom in one pass."""
