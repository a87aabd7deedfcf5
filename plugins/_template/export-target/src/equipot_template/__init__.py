"""Engine template for equipot; the parts are in ``equipot_template.engine``."""
