from equipot_testing.conformance import ModifierConformance, OutputHeadConformance


class TestTemplate(OutputHeadConformance):
    name = "add_template"


class TestTemplateModifier(ModifierConformance):
    name = "add_template"
