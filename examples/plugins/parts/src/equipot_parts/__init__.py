"""Parts of equipot configs that need no hook: frames, a transform, a loss, a callback, a radial embedding."""
