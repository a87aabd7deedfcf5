"""Output head add_template for equipot; the parts are in ``equipot_template.head``."""
