"""The layers of Allegro-like models: environment sums, first tensors, contraction."""
