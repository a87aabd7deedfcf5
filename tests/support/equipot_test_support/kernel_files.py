"""Files of kernels without a model, and specs of small kernels."""

import zipfile

import torch

from equipot.nn.irreps import FeatureLayout
from equipot.nn.tensor_product import Convolution
from equipot_kernels._convolution.plan import spec_of_convolution

CHANNELS = 5


CONTRACTION = {"family": "contraction", "dim_in": 1, "dim_out": 1, "dtype": "float64", "channels": 1}


def packed(path, files):
    """A file with kernels, and without a model."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data/version", "1")
        for name, content in files.items():
            archive.writestr(f"model/equipot/kernels/enable_FusedKernels/{name}", content)
    return path


def convolution(dtype):
    layouts = FeatureLayout.parse("3x0e+2x1o"), FeatureLayout.spherical_harmonics(1)
    return Convolution(*layouts, [block.irrep for block in layouts[0].blocks], dtype=dtype)


def small_specs(dtype):
    """A small kernel of each family that ops call."""
    shared = {"dtype": dtype, "channels": CHANNELS}
    irreps = dict.fromkeys(("layout_in", "layout_edge", "layout_out"), "1x0e+1x1o")
    return {
        "edges": {"family": "edge_lists"},
        "types": {"family": "type_lists"},
        "conv": spec_of_convolution(convolution(getattr(torch, dtype)), getattr(torch, dtype)),
        "al": {"family": "contraction", "dim_in": 4, "dim_out": 3, **shared},
        "init": {"family": "initial", "blocks": [1, 3], "dim_out": 3, **shared},
        "env": {"family": "environment", "blocks": [1, 3], **shared},
        "cg": {"family": "coupling", **irreps, **shared},
        "spline": {"family": "spline", **shared},
        "typed": {"family": "typed", "dtype": dtype, "layout_in": "3x0e+2x1o", "layout_out": "2x0e+4x1o"},
    }
