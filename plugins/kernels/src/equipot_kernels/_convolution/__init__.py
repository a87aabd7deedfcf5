"""Message passing: tensor product and sum over the edges of an atom in one kernel."""
