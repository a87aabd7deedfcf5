"""The loss Template: squares of small force errors, sizes of large ones."""

import torch
from equipot.graph import Graph
from equipot.train import Loss
from torchmetrics import MeanMetric


def template_value(errors: torch.Tensor) -> torch.Tensor:
    r"""Value of each error.

    .. math:: \log\cosh x

    Args:
        errors: Force errors without unit, shape [n, 3].

    Returns:
        The values, same shape, at least 0.
    """
    sizes = errors.abs()  # log cosh x = |x| + log(1 + exp(-2|x|)) - log 2, which does not overflow
    return sizes + torch.nn.functional.softplus(-2 * sizes) - torch.log(sizes.new_tensor(2.0))


class Template(Loss):
    """Loss Template.

    Args:
        scale: Force error in the data's unit that counts as 1.
    """

    labels = ("forces",)
    names = ("template", "weighted_sum")

    def __init__(self, scale: float = 1.0) -> None:
        """Start with no batch seen."""
        super().__init__({"template": 1.0})
        self.scale = scale
        self.mean = MeanMetric()

    def forward(self, outputs: Graph, batch: Graph) -> dict[str, torch.Tensor]:
        """The loss of a batch."""
        errors = (outputs["forces"] - batch["forces"]) / self.scale
        if "forces_mask" in batch:
            errors = errors[batch["forces_mask"]]
        values = template_value(errors)
        self.mean.update(values.detach())
        loss = values.sum() / max(values.numel(), 1)
        return {"template": loss, "weighted_sum": loss}

    def epoch_values(self) -> dict[str, torch.Tensor]:
        """The loss over the epoch."""
        value = self.mean.compute()
        return {"template": value, "weighted_sum": value}

    def reset(self) -> None:
        """Start a new epoch."""
        self.mean.reset()
