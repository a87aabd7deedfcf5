"""What this package declares."""
