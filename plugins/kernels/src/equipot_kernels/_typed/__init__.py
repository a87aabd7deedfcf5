"""Linear maps whose matrix depends on the type of the atom."""
