"""D3(BJ) dispersion for any equipot model."""
