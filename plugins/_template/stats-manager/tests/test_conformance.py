from equipot_testing.conformance import StatsManagerConformance


class TestTemplate(StatsManagerConformance):
    name = "Template"
    reads = ("forces",)
