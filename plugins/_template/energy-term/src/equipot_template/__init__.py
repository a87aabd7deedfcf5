"""Energy term Template for equipot; the parts are in ``equipot_template.term``."""
