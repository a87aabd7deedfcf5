"""Building blocks for models: radial functions, cutoffs, MLPs, irreps, tensor products."""
