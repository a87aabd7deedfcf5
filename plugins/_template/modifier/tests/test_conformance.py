from equipot_testing.conformance import ModifierConformance


class TestTemplate(ModifierConformance):
    name = "template"
    keeps_energies = False
