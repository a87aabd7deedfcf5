from equipot_testing.conformance import PairPotentialConformance


class TestTemplate(PairPotentialConformance):
    name = "Template"
