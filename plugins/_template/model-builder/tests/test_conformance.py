from equipot.testing.conformance import ModelBuilderConformance


class TestTemplate(ModelBuilderConformance):
    name = "Template"
