"""Statistics manager Template for equipot; the parts are in ``equipot_template.manager``."""
