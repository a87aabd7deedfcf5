"""Parts of equipot configs: frames, a transform, a loss, a callback, a radial embedding."""
