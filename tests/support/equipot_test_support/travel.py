"""What workers in other processes do with a calculator that was sent to them."""


def evaluate(atoms):
    """All results of a frame's calculator, calculated again and not taken from what it remembers."""
    atoms.calc.reset()
    atoms.get_potential_energy()
    return atoms.calc.results


def evaluate_and_return(atoms):
    """The same frame with its calculator, which has other positions to calculate first."""
    atoms.positions += 0.01
    atoms.get_forces()
    atoms.positions -= 0.01
    return atoms
