from equipot_testing.conformance import ModifierConformance, OutputHeadConformance


class TestDipoles(OutputHeadConformance):
    name = "add_Dipoles"


class TestAddDipoles(ModifierConformance):
    name = "add_Dipoles"
