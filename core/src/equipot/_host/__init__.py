"""The plugin host's parts; ``equipot.plugins`` is its face."""
