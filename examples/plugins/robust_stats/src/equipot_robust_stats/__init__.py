"""Statistics for equipot that outliers do not move."""
