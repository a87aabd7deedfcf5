"""Fast CPU kernels and radial splines for equipot models."""
