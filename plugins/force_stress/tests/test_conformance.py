from equipot_testing.conformance import ModifierConformance


class TestEnable(ModifierConformance):
    name = "enable_ForceStressOutput"


class TestDisable(ModifierConformance):
    name = "disable_ForceStressOutput"
    model_options = {"do_derivatives": True}  # noqa: RUF012 - read only
