"""The convolution as torch ops that can be differentiated any number of times.

``conv_forward`` is linear in features, edge attributes and weights. Its gradient ``conv_backward`` is
linear in one more argument, and the gradient of that, ``conv_double``, can be written with the first
two ops. Kernels compute the first two derivatives, as far as forces and training on them need; the other
parts and all higher derivatives are composed of the same ops.
"""

from __future__ import annotations

from typing import Any

import torch

from equipot_kernels._build import registry
from equipot_kernels._build.torch_ops import call, define, derivative_of, differentiate, needed, save_tensors
from equipot_kernels._convolution.family import backward_unit

Tensor = torch.Tensor

_LISTS = "Tensor index, Tensor ptr, Tensor sent_ptr, Tensor sent, int kernel"
"""Edge index [2, n_edges], the three edge lists, and the kernel's handle."""


# ---------------------------------------------------------------------- forward


def forward_fake(x: Tensor, *rest: Any) -> Tensor:
    """An empty result for features x; the last argument is the kernel's handle."""
    return x.new_empty(x.shape[0], registry.sizes(rest[-1])["dim_out"])


def _forward_cpu(x: Tensor, y: Tensor, w: Tensor, index: Tensor, ptr: Tensor, *rest: Any) -> Tensor:
    out = forward_fake(x, *rest)
    x, y, w, index = x.contiguous(), y.contiguous(), w.contiguous(), index.contiguous()
    call(rest[-1], "forward", x.shape[0], x, y, w, ptr, index[1], out)
    return out


conv_forward = define(f"conv_forward(Tensor x, Tensor y, Tensor w, {_LISTS}) -> Tensor", _forward_cpu, forward_fake)


def _forward_derivative(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
    wanted = needed(ctx, 3)
    parts = conv_backward(g, *ctx.saved_tensors, *ctx.constants, *wanted)
    return (*_kept(parts, wanted), None, None, None, None, None)


def _kept(parts: tuple[Tensor, ...], wanted: list[bool]) -> tuple[Tensor | None, ...]:
    return tuple(part if want else None for part, want in zip(parts, wanted, strict=True))


# --------------------------------------------------------------------- backward


def _backward_fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    _, x, y, w, *_, x_wanted, y_wanted, w_wanted = arguments
    return (
        x.new_empty(x.shape if x_wanted else 0),
        y.new_empty(y.shape if y_wanted else 0),
        w.new_empty(w.shape if w_wanted else 0),
    )


def _backward_cpu(g: Tensor, x: Tensor, y: Tensor, w: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
    index, _, sent_ptr, sent, kernel, *flags = rest
    wanted = "".join(letter for letter, flag in zip("xyw", flags, strict=True) if flag)
    unit = backward_unit("backward", wanted)
    made = _backward_fake(g, x, y, w, *(letter in unit.split("_")[-1] for letter in "xyw"))
    g, x, y, w, index = (part.contiguous() for part in (g, x, y, w, index))
    call(kernel, unit, x.shape[0], g, x, y, w, sent_ptr, sent, index[0], *made)
    gx, gy, gw = (part if flag else part.new_empty(0) for part, flag in zip(made, flags, strict=True))
    return gx, gy, gw


conv_backward = define(
    f"conv_backward(Tensor g, Tensor x, Tensor y, Tensor w, {_LISTS}, bool x_wanted, bool y_wanted, bool w_wanted)"
    " -> (Tensor, Tensor, Tensor)",
    _backward_cpu,
    _backward_fake,
)


def _backward_derivative(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    g, x, y, w, *lists = ctx.saved_tensors
    kernel, *flags = ctx.constants
    hx, hy, hw = (
        grad if flag else torch.zeros_like(part) for grad, flag, part in zip(grads, flags, (x, y, w), strict=True)
    )
    wanted = needed(ctx, 4)
    gg, gx, gw = conv_double(hx, hy, hw, g, x, y, w, *lists, kernel)
    gy = None
    if wanted[2]:
        # Only second derivatives with respect to positions need it.
        first = conv_backward(g, hx, y, w, *lists, kernel, False, True, False)[1] if flags[0] else None
        second = conv_backward(g, x, y, hw, *lists, kernel, False, True, False)[1] if flags[2] else None
        gy = first if second is None else second if first is None else first + second
    kept = [part if want else None for part, want in zip((gg, gx, gy, gw), wanted, strict=True)]
    return (*kept, *[None] * 8)


# ---------------------------------------------------------------------- double


def _double_fake(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    g, x, _, w = arguments[3:7]
    return g.new_empty(g.shape), x.new_empty(x.shape), w.new_empty(w.shape)


def _double_cpu(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    *tensors, ptr, sent_ptr, sent, kernel = arguments
    hx, hy, hw, g, x, y, w, index = (tensor.contiguous() for tensor in tensors)
    gg, gx, gw = _double_fake(hx, hy, hw, g, x, y, w)
    call(kernel, "double_receive", x.shape[0], hx, hy, hw, x, y, w, ptr, index[1], gg)
    call(kernel, "double_send", x.shape[0], hx, hy, hw, g, x, y, w, sent_ptr, sent, index[0], gx, gw)
    return gg, gx, gw


conv_double = define(
    "conv_double(Tensor hx, Tensor hy, Tensor hw, Tensor g, Tensor x, Tensor y, Tensor w, "
    f"{_LISTS}) -> (Tensor, Tensor, Tensor)",
    _double_cpu,
    _double_fake,
)


def _double_composed(hx: Tensor, hy: Tensor, hw: Tensor, *others: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The same as ``conv_double``, composed of ops that have derivatives."""
    g, x, y, w, *rest = others
    gg = conv_forward(hx, y, w, *rest) + conv_forward(x, hy, w, *rest) + conv_forward(x, y, hw, *rest)
    of_attributes = conv_backward(g, x, hy, w, *rest, True, False, True)
    gx = of_attributes[0] + conv_backward(g, x, y, hw, *rest, True, False, False)[0]
    gw = of_attributes[2] + conv_backward(g, hx, y, w, *rest, False, False, True)[2]
    return gg, gx, gw


def _double_derivative(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    *tensors, index, ptr, sent_ptr, sent = ctx.saved_tensors
    rest = (index, ptr, sent_ptr, sent, *ctx.constants)
    found = derivative_of(lambda *parts: _double_composed(*parts, *rest), tensors, needed(ctx, 7), grads)
    return (*found, *[None] * 5)


differentiate("conv_forward", _forward_derivative, save_tensors)
differentiate("conv_backward", _backward_derivative, save_tensors)
differentiate("conv_double", _double_derivative, save_tensors)
