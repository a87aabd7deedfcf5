"""Checks of model builders: many calls, frames in turn, several threads."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from equipot_testing._model_engineering import ModelEngineeringChecks, close_outputs
from equipot_testing._model_kit import called, cloned
from equipot_testing.checks import check_outputs_equal, check_that
from equipot_testing.frames import batch_of, lone_atom, molecule, placed

if TYPE_CHECKING:
    from equipot.graph import Graph
    from equipot.model import GraphModel
    from equipot_testing.frames import Structure

CALLS = 500
"""How often a model is called on the same frame."""

PATIENCE = 10.0
"""Seconds after which a thread no longer waits for the other one."""


class ModelCallChecks(ModelEngineeringChecks):
    """What earlier calls and calls at the same time must not change."""

    def test_many_calls(self) -> None:
        """After 500 calls a frame has the same energies and forces as in the first call.

        Tolerance: none, bit for bit; a frame of three atoms, most calls without forces.
        Why: molecular dynamics makes millions of calls, and tests make one or two.
        Goes wrong: a counter after which something is computed again or approximated; a buffer that fills up.
        """
        model = self.model()
        graph = batch_of(placed([molecule(len(self.type_names), n_atoms=3)], model.info), model.info)
        first, energies_only = model(graph), self.without_forces(model)
        with torch.no_grad():
            for _ in range(CALLS):
                energies_only(graph)
        check_outputs_equal(f"the same frame after {CALLS} calls", model(graph), first)

    def test_interleaved_frames(self) -> None:
        """A frame has the same energies and forces after any other frames.

        Tolerance: none, bit for bit; against a copy of the model that has not been called.
        Why: committees, Monte Carlo and parallel dynamics compute different frames in turn with one model.
        Goes wrong: something kept for the next call while sizes, positions or types stay the same, such as neighbours
        during swaps of atoms, or charges of the last frame as a first guess.
        """
        model, n_types = self.model(), len(self.type_names)
        fresh = copy.deepcopy(model)
        start = molecule(n_types)
        swapped = dataclasses.replace(start, types=start.types.flip(0))
        shaken = start.moved(torch.linspace(-1e-7, 1e-7, 15, dtype=torch.float64).reshape(5, 3))
        sequence: dict[str, Structure] = {
            "a molecule": start,
            "the molecule with atoms moved by 1e-7 Å": shaken,
            "the first molecule again": start,
            "the molecule with its types in another order": swapped,
            "another molecule of the same size": molecule(n_types, seed=31),
            "one atom": lone_atom(),
            "the first molecule once more": start,
        }
        before = "nothing"
        for name, structure in sequence.items():
            graph = batch_of(placed([structure], model.info), model.info)
            law = f"{name} after {before}, as if it were the first frame"
            check_outputs_equal(law, called(law, model, graph), copy.deepcopy(fresh)(graph))
            before = name

    def test_two_threads(self) -> None:
        """Two frames computed at the same time in two threads have the energies that they have alone.

        Tolerance: 1e-10 in float64, without forces; the threads take turns after every operation.
        Why: servers and parallel screening call one model from several threads; a mix-up gives plausible numbers.
        Goes wrong: a tensor stored as an attribute in one method and read in another.
        """
        model, n_types = self.without_forces(self.model()), len(self.type_names)
        both = placed([molecule(n_types), molecule(n_types, seed=31)], model.info)
        frames = [structure.graph(model.info) for structure in both]
        expected = [output for frame in frames for output in _at_the_same_time(model, [cloned(frame)])]
        for number, output in enumerate(_at_the_same_time(model, frames)):
            close_outputs(
                f"frame {number + 1} of two that two threads compute at the same time", output, expected[number]
            )


def _at_the_same_time(model: GraphModel, frames: list[Graph]) -> list[Graph]:
    """Outputs of frames, each computed in a thread of its own, which wait for each other after every operation."""
    barrier = threading.Barrier(len(frames))
    found: list[Any] = [None] * len(frames)

    def work(number: int) -> None:
        try:
            with _TakingTurns(barrier):
                found[number] = model(frames[number])
        except Exception as error:  # noqa: BLE001 - raised below, in the thread of the check
            found[number] = error
        finally:
            barrier.abort()  # the other thread goes on alone

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(frames))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for output in found:
        if isinstance(output, Exception):
            text = f"{type(output).__name__}: {output}"
            check_that(False, f"two threads that compute frames at the same time: one fails with {text}")
    return found


class _TakingTurns(TorchDispatchMode):
    """Wait before every operation until all threads have come to one."""

    def __init__(self, barrier: threading.Barrier) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch annotates no __init__
        self.barrier = barrier

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with contextlib.suppress(threading.BrokenBarrierError):
            self.barrier.wait(PATIENCE)
        return func(*args, **(kwargs or {}))
