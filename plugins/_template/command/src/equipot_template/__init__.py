"""Command template for equipot; the parts are in ``equipot_template.command``."""
