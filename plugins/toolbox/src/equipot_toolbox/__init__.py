"""Further losses, callbacks, training modules and datasets for equipot."""
