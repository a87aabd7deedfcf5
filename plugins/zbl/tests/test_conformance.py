from equipot_testing.conformance import PairPotentialConformance


class TestZBL(PairPotentialConformance):
    name = "ZBL"
    options = {"units": "real", "polynomial_cutoff_p": 5.0}  # noqa: RUF012 - read only


class TestZBLWithinBonds(PairPotentialConformance):
    name = "ZBL"
    options = {"units": "metal", "covalent_range": 1.5}  # noqa: RUF012 - read only
