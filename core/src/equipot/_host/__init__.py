"""The parts of the plugin host, which ``equipot.plugins`` makes public."""
