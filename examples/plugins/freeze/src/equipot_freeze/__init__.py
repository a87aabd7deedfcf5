"""A modifier that freezes parts of an equipot model for fine-tuning."""
