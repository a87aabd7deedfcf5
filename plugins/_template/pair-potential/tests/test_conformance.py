from equipot.testing.conformance import PairPotentialConformance


class TestTemplate(PairPotentialConformance):
    name = "Template"
