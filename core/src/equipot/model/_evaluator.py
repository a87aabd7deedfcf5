"""The slot ``evaluator`` of a GraphModel: another way to compute the same outputs."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, final

import torch

from equipot.graph import Graph

if TYPE_CHECKING:
    from equipot.model._graph_model import GraphModel

logger = logging.getLogger(__name__)


class Evaluator(ABC):
    """Computes the outputs of models as a whole, where it can and up to rounding.

    A modifier of a kernel plugin puts one into a model: ``model.replace(evaluator=...)``. It is neither a module nor a
    part of the model, holds no parameters, and is shared by copies of the model, so it must serve several models and
    threads at once. Pickles must not contain what it can make again (``__getstate__``).

    It is not asked while somebody looks on: in exports, traces, ``torch.compile``, ``torch.func``, autocast, and under
    modes of dispatch.
    """

    tell: Callable[[str], None] | None = None
    """Shows users a line of ``fall_back``; without one it goes to the log."""

    fallbacks: tuple[str, ...] = ()
    """Why models, or some of their calculations, are left to the models; records of results name them."""

    @abstractmethod
    def evaluate(self, model: GraphModel, data: Graph) -> Graph | None:
        """Compute the outputs of a model, or leave it to the model.

        Args:
            model: The model, in train or eval mode, with the weights to use.
            data: The fields in ``model.info.inputs``, and maybe ``owned``, on any device.

        Returns:
            The fields that ``model.evaluate_directly`` returns, in train mode with their gradients by the parameters;
            None if the model is to compute them itself.
        """

    def begin_training(self) -> None:  # noqa: B027 - most have nothing to do
        """Called before a training starts or goes on.

        From now on results must not depend on how many calls came before, so that an interrupted training goes on with
        the same bits.
        """

    @final
    def fall_back(self, text: str, *, level: int = logging.INFO) -> None:
        """Say, once, that something is left to the models from now on.

        Args:
            text: One line.
            level: Of the log, in which it is said if nobody listens.
        """
        if text in self.fallbacks:
            return
        self.fallbacks = (*self.fallbacks, text)
        if self.tell is None:
            logger.log(level, "%s", text)
        else:
            self.tell(text)

    def __deepcopy__(self, memo: dict[int, Any]) -> Evaluator:
        """Itself."""
        return self


def is_plain(data: Graph) -> bool:
    """Whether a calculation is an ordinary one: with real tensors, and nothing but autograd looking on.

    Args:
        data: The fields of a batch.
    """
    looking_on = (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0  # noqa: SLF001 - torch has no public names for these
        or torch._C._len_torch_function_stack() > 0  # noqa: SLF001
        or torch._C._functorch.peek_interpreter_stack() is not None  # noqa: SLF001
        or torch._C._get_tracing_state() is not None  # noqa: SLF001
        or torch.is_autocast_enabled("cpu")
        or torch.is_anomaly_enabled()
    )
    return not looking_on and all(type(value) is torch.Tensor for value in data.values())
