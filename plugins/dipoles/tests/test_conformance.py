from typing import ClassVar

from equipot_testing.conformance import ModifierConformance, OutputHeadConformance


class TestDipoles(OutputHeadConformance):
    name = "add_Dipoles"


class TestDipolesOfIons(OutputHeadConformance):
    name = "add_Dipoles"
    options: ClassVar = {"charged": True}


class TestAddDipoles(ModifierConformance):
    name = "add_Dipoles"
