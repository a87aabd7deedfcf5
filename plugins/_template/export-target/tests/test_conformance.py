from equipot_testing.conformance import ExportTargetConformance


class TestTemplate(ExportTargetConformance):
    """Name an installed ``builder`` to compile its model too; override ``engine`` to run the file in the engine."""

    name = "template"
