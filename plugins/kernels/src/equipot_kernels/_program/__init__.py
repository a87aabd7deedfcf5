"""A model's whole calculation as one program: traced once, then run without torch between its operations."""
