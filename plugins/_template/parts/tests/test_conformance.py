import torch
from equipot_testing.conformance import PartConformance
from equipot_template.loss import Template, template_value


class TestTemplate(PartConformance):
    name = "equipot_template.loss.Template"


def test_larger_errors_cost_more():
    small, large = template_value(torch.tensor([0.1, -10.0], dtype=torch.float64))
    assert 0 < small < large


def test_masked_forces_do_not_count():
    forces = torch.tensor([[1.0, 0.0, 0.0], [99.0, 99.0, 99.0]], dtype=torch.float64)
    batch = {"forces": torch.zeros_like(forces), "forces_mask": torch.tensor([True, False])}
    masked = Template()({"forces": forces}, batch)["weighted_sum"]
    assert masked == template_value(forces[:1]).mean()
