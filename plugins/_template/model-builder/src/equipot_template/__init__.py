"""Model builder Template for equipot; the parts are in ``equipot_template.builder``."""
