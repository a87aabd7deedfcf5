"""Pair potential Template for equipot; the parts are in ``equipot_template.potential``."""
