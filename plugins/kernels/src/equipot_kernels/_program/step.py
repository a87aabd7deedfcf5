"""One training step by a program, as autograd sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from equipot_kernels._program.compare import gradient_difference

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from equipot.graph import Graph
    from equipot.model import GraphModel
    from equipot_kernels._program.made import Made

    Tensors = Sequence[torch.Tensor | None]


class Call:
    """A calculation between its forward and backward pass.

    Args:
        program: Its program.
        model: The model.
        data: The fields of the batch.
        inputs: Of the program, in its order.
        trained: Names of the parameters that require gradients.
    """

    def __init__(
        self, program: Made, model: GraphModel, data: Graph, inputs: list[torch.Tensor], trained: list[str]
    ) -> None:
        self.program, self.model, self.data, self.inputs, self.trained = program, model, data, inputs, trained
        self.check: tuple[Graph, Callable[[str], None]] | None = None
        """The model's own outputs, with their graph, to compare gradients with; and who hears of a difference."""
        self._state: Any = None

    def forward(self) -> list[torch.Tensor]:
        """The outputs."""
        outputs, self._state = self.program.runner.forward(self.inputs)
        return outputs

    def gradients(self, cotangents: Tensors, shapes: Sequence[tuple[torch.Size, torch.dtype]]) -> Tensors:
        """Gradients of the trained parameters; None for those that no output with a cotangent depends on."""
        program = self.program
        given = dict(zip(program.outputs, cotangents, strict=True))
        asked = [name for name in program.differentiated if given[name] is not None]
        if not asked:
            return [None] * len(self.trained)
        if self._state is None:  # a backward pass leaves nothing of it, and there may be another
            self.forward()
        state, self._state = self._state, None
        kinds = dict(zip(program.outputs, shapes, strict=True))
        filled = [_filled(given[name], *kinds[name]) for name in program.differentiated]
        found = dict(zip(program.gradients, program.runner.backward(state, filled), strict=True))
        reached = {name for output in asked for name in program.depends[output]}
        return [found.get(name) if name in reached else None for name in self.trained]

    def checked(self, gradients: Tensors, cotangents: Tensors, parameters: Sequence[torch.Tensor]) -> Tensors:
        """The gradients, or those of the model itself if they differ."""
        if self.check is None:
            return gradients
        outputs, refuse = self.check
        expected = differentiated(outputs, self.program.outputs, cotangents, parameters, retain_graph=True)
        if found := gradient_difference(self.trained, gradients, expected, self.model.info.model_dtype):
            refuse(found)
            return expected
        return gradients

    def directly(self, cotangents: Tensors, parameters: Sequence[torch.Tensor]) -> Tensors:
        """Gradients by the model itself, which can be differentiated again."""
        outputs = self.model.evaluate_directly(dict(self.data))
        return differentiated(outputs, self.program.outputs, cotangents, parameters, create_graph=True)


def differentiated(
    outputs: Graph, names: Sequence[str], cotangents: Tensors, parameters: Sequence[torch.Tensor], **options: bool
) -> Tensors:
    """Gradients of some outputs by the parameters.

    Args:
        outputs: With their graph.
        names: The outputs.
        cotangents: One for each name, or None.
        parameters: To differentiate by.
        **options: Of ``torch.autograd.grad``.
    """
    pairs = [(outputs[name], one) for name, one in zip(names, cotangents, strict=True) if one is not None]
    pairs = [(output, one) for output, one in pairs if output.requires_grad]
    if not pairs:
        return [None] * len(parameters)
    left, right = zip(*pairs, strict=True)
    found: Tensors = torch.autograd.grad(left, list(parameters), right, allow_unused=True, **options)
    return found


class Step(torch.autograd.Function):
    """Outputs as a function of the trained parameters."""

    @staticmethod
    def forward(ctx: Any, call: Call, *parameters: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Phase 0."""
        outputs = call.forward()
        ctx.call = call
        ctx.save_for_backward(*parameters)
        ctx.set_materialize_grads(False)
        ctx.shapes = [(one.shape, one.dtype) for one in outputs]
        names = zip(call.program.outputs, outputs, strict=True)
        ctx.mark_non_differentiable(*[one for name, one in names if name not in call.program.differentiated])
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor | None) -> tuple[torch.Tensor | None, ...]:
        """Phase 1; the model itself where the result is to be differentiated again."""
        parameters = ctx.saved_tensors  # torch checks that they have not been changed
        if torch.is_grad_enabled():
            return (None, *ctx.call.directly(cotangents, parameters))
        gradients = ctx.call.gradients(cotangents, ctx.shapes)
        return (None, *ctx.call.checked(gradients, cotangents, parameters))


def _filled(cotangent: torch.Tensor | None, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    return torch.zeros(shape, dtype=dtype) if cotangent is None else cotangent.contiguous()
