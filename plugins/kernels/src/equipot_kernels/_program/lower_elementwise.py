"""Elementwise operations, and those that make tensors out of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from equipot_kernels._program.ir import DType
from equipot_kernels._program.lower_ops import DTYPES, TORCH_DTYPES, Handler, Op, handles, register
from equipot_kernels._program.lower_refs import View
from equipot_kernels._program.lower_views import unsqueezed
from equipot_kernels._program.record import refuse

# --------------------------------------------------------------- elementwise


def _plain(op: str) -> Handler:
    return lambda o: o.point(op, *o.arguments)


for _name in (
    "neg", "abs", "sqrt", "rsqrt", "reciprocal", "exp", "log", "log1p", "expm1", "sin", "cos", "tanh", "sigmoid", "erf",
    "floor", "sign",
):  # fmt: skip
    register([f"{_name}.default"], _plain(_name))
for _name in ("mul", "div"):
    register([f"{_name}.Tensor", f"{_name}.Scalar"], _plain(_name))
for _name in ("minimum", "maximum"):
    register([f"{_name}.default"], _plain(_name))
register(["sgn.default"], _plain("sign"))


def _promoted(values: Sequence[Any]) -> DType:
    made = []
    for value in values:
        if isinstance(value, View):
            made.append(torch.empty((1,) * min(1, len(value.dims)), dtype=TORCH_DTYPES[value.node.dtype]))
        else:
            made.append(value)
    kind = torch.result_type(made[0], made[1])
    if kind not in DTYPES:
        raise refuse(f"a tensor of {kind} is used")
    return DTYPES[kind]


def _compared(op: str) -> Handler:
    def handler(o: Op) -> View:
        kind = _promoted(o.arguments[:2])
        return o.graph.point(op, [o.cast(value, kind) for value in o.arguments[:2]], "bool")

    return handler


for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    register([f"{_name}.Tensor", f"{_name}.Scalar"], _compared(_name))


def _logical(op: str) -> Handler:
    return lambda o: o.graph.point(op, [o.cast(value, "bool") for value in o.arguments], "bool")


for _name in ("and", "or", "not"):
    register([f"logical_{_name}.default"], _logical(_name))


def _added(op: str) -> Handler:
    def handler(o: Op) -> View:
        first, second = o.arguments[:2]
        alpha = o.given(2, "alpha", 1)
        return o.point(op, first, second if alpha == 1 else o.point("mul", second, alpha))

    return handler


for _name in ("add", "sub"):
    register([f"{_name}.Tensor", f"{_name}.Scalar"], _added(_name))


@handles("rsub.Scalar", "rsub.Tensor")
def _rsub(o: Op) -> View:
    first, second = o.arguments[:2]
    alpha = o.given(2, "alpha", 1)
    return o.point("sub", second, first if alpha == 1 else o.point("mul", first, alpha))


@handles("pow.Tensor_Scalar")
def _power(o: Op) -> View:
    base, exponent = o.cast(o.arguments[0], o.out.dtype), o.arguments[1]
    special = {0.5: "sqrt", -0.5: "rsqrt", -1: "reciprocal"}
    if exponent in special:
        return o.point(special[exponent], base)
    if exponent == int(exponent) and 1 <= exponent <= _LARGEST_PRODUCT:
        return _repeated(o, base, int(exponent))
    return o.point("pow", base, exponent)


_LARGEST_PRODUCT = 16


def _repeated(o: Op, base: View, exponent: int) -> View:
    """A power by repeated squaring."""
    if exponent == 1:
        return base
    half = _repeated(o, base, exponent // 2)
    square = o.point("mul", half, half)
    return o.point("mul", square, base) if exponent % 2 else square


register(["pow.Tensor_Tensor", "pow.Scalar"], _plain("pow"))


@handles("where.self")
def _where(o: Op) -> View:
    condition, first, second = o.arguments
    kind = o.out.dtype
    return o.graph.point("where", [condition, o.cast(first, kind), o.cast(second, kind)], kind)


@handles("masked_fill.Scalar", "masked_fill.Tensor")
def _masked_fill(o: Op) -> View:
    x, mask, value = o.arguments
    return o.graph.point("where", [mask, o.cast(value, o.out.dtype), o.cast(x, o.out.dtype)], o.out.dtype)


@handles("clamp.default", "clamp.Tensor")
def _clamp(o: Op) -> View:
    made, least, most = o.arguments[0], o.given(1, "min"), o.given(2, "max")
    made = o.cast(made, o.out.dtype)
    made = made if least is None else o.point("maximum", made, least)
    return made if most is None else o.point("minimum", made, most)


register(["clamp_min.default", "clamp_min.Tensor"], _plain("maximum"))
register(["clamp_max.default", "clamp_max.Tensor"], _plain("minimum"))
register(["relu.default"], lambda o: o.point("maximum", o.arguments[0], 0))


@handles("threshold_backward.default")
def _threshold_backward(o: Op) -> View:
    g, x, threshold = o.arguments
    small = o.graph.point("le", [x, o.cast(threshold, x.node.dtype)], "bool")
    return o.graph.point("where", [small, o.cast(0, o.out.dtype), g], o.out.dtype)


def _combined(op: str) -> Handler:
    def handler(o: Op) -> View:
        base, first, second = o.arguments[:3]
        value = o.given(3, "value", 1)
        times = first if value == 1 else o.point("mul", first, value)
        return o.point("add", base, o.point(op, times, second))

    return handler


for _name in ("mul", "div"):
    register([f"addc{_name}.default"], _combined(_name))


@handles("sinc.default")
def _sinc(o: Op) -> View:
    x = o.cast(o.arguments[0], o.out.dtype)
    scaled_ = o.point("mul", x, math.pi)
    zero = o.graph.point("eq", [x, o.cast(0, o.out.dtype)], "bool")
    return o.graph.point(
        "where", [zero, o.cast(1, o.out.dtype), o.point("div", o.point("sin", scaled_), scaled_)], o.out.dtype
    )


@handles("silu.default")
def _silu(o: Op) -> View:
    return o.point("mul", o.arguments[0], o.point("sigmoid", o.arguments[0]))


@handles("silu_backward.default")
def _silu_backward(o: Op) -> View:
    g, x = o.arguments
    s = o.point("sigmoid", x)
    inner = o.point("add", o.point("mul", x, o.point("sub", 1, s)), 1)
    return o.point("mul", o.point("mul", g, s), inner)


@handles("sigmoid_backward.default")
def _sigmoid_backward(o: Op) -> View:
    g, s = o.arguments
    return o.point("mul", g, o.point("mul", o.point("sub", 1, s), s))


@handles("tanh_backward.default")
def _tanh_backward(o: Op) -> View:
    g, t = o.arguments
    return o.point("mul", g, o.point("sub", 1, o.point("mul", t, t)))


@handles("_to_copy.default", "clone.default", "detach.default", "alias.default", "lift_fresh.default",
         "lift_fresh_copy.default", "contiguous.default", "lift.default", "_conj.default")  # fmt: skip
def _same(o: Op) -> View:
    return o.cast(o.arguments[0], o.out.dtype)


@handles("copy.default")
def _copy(o: Op) -> View:
    return o.graph.expand(o.cast(o.arguments[1], o.out.dtype), o.out.shape)


def _bitwise(op: str) -> Handler:
    return lambda o: o.graph.point(op, list(o.arguments), "bool")


BITWISE = {
    f"aten.bitwise_{name}": _bitwise(name.split(".", maxsplit=1)[0])
    for name in ("and.Tensor", "or.Tensor", "not.default")
}
"""Operations that have a handler for ``bool`` only."""
# -------------------------------------------------------------------- making


def filled(value: float) -> Handler:
    """A handler that gives one number everywhere."""
    return lambda o: o.graph.expand(o.graph.constant(value, o.out.dtype), o.out.shape)


for _name in (
    "zeros.default", "zeros_like.default", "new_zeros.default", "zero.default", "empty.memory_format",
    "empty_like.default", "new_empty.default", "empty_strided.default", "new_empty_strided.default",
):  # fmt: skip
    register([_name], filled(0))
register(["ones.default", "ones_like.default", "new_ones.default"], filled(1))


@handles("full.default", "full_like.default", "fill.Scalar", "fill.Tensor")
def _full(o: Op) -> View:
    return o.graph.expand(o.cast(o.arguments[1], o.out.dtype), o.out.shape)


@handles("new_full.default")
def _new_full(o: Op) -> View:
    return o.graph.expand(o.cast(o.arguments[2], o.out.dtype), o.out.shape)


@handles("scalar_tensor.default")
def _scalar_tensor(o: Op) -> View:
    return o.cast(o.arguments[0], o.out.dtype)


@handles("arange.default", "arange.start", "arange.start_step")
def _arange(o: Op) -> View:
    start = o.arguments[0] if len(o.arguments) > 1 else 0
    made = o.cast(o.graph.iota(o.out.shape[0]), o.out.dtype)
    return o.point("add", o.point("mul", made, o.given(2, "step", 1)), start)


@handles("eye.default", "eye.m")
def _eye(o: Op) -> View:
    rows, columns = (o.graph.iota(size) for size in o.out.shape)
    equal = o.graph.point("eq", [unsqueezed(rows, 1), unsqueezed(columns, 0)], "bool")
    return o.cast(equal, o.out.dtype)
