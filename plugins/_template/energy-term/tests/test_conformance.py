from equipot_testing.conformance import EnergyTermConformance


class TestTemplate(EnergyTermConformance):
    name = "Template"
