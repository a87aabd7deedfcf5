"""Kernels for the layers of Allegro-like models: environment sums, first tensors and contraction."""
