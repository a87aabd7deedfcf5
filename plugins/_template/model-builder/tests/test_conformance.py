from equipot_testing.conformance import ModelBuilderConformance


class TestTemplate(ModelBuilderConformance):
    name = "Template"
