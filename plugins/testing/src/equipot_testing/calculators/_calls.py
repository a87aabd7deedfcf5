"""Checks of calculators: many calls, frames in turn, several threads."""

from __future__ import annotations

import dataclasses
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms

from equipot_testing._checklist import check_that
from equipot_testing.calculators._derivatives import moved
from equipot_testing.calculators._physics import CalculatorPhysicsChecks
from equipot_testing.calculators._structures import crystal, lone_atom, molecule
from equipot_testing.calculators.potentials import wrapped

if TYPE_CHECKING:
    from equipot_testing.calculators.potentials import Potential, Results

CALLS = 100
"""How often a calculator is called in turn on two frames."""

TURNS = 10
"""How often each of two threads computes its frame."""


class CalculatorCallChecks(CalculatorPhysicsChecks):
    """What earlier calls and calls at the same time must not change."""

    def test_many_calls(self) -> None:
        """After 100 calls a frame has the same energies and forces as in the first call.

        Tolerance: rounding; two molecules of three atoms in turn.
        Why: molecular dynamics makes millions of calls, and tests make one or two.
        Goes wrong: a counter after which something is approximated; a buffer that fills up.
        """
        frames = [crystal(self.elements, n_atoms=3, seed=seed, pbc=(False,) * 3) for seed in (21, 22)]
        first = self.results(frames)
        for _ in range(CALLS // 2 - 2):
            self.results(frames)
        for found, expected in zip(self.results(frames), first, strict=True):
            self.same_motion(f"the same frame after {CALLS} calls", found, expected)

    def test_interleaved_frames(self) -> None:
        """A frame has the same energies and forces after any other frames.

        Tolerance: rounding; against another calculator that computes one atom before each of them.
        Why: committees, Monte Carlo and parallel dynamics compute different frames in turn with one calculator.
        Goes wrong: something kept for the next call while positions or elements stay the same, such as neighbours
        during swaps of atoms, or charges of the last frame as a first guess.
        """
        start = molecule(self.elements)
        swapped, boxed = start.copy(), start.copy()
        swapped.numbers = start.numbers[::-1]
        boxed.set_cell(30.0 * np.eye(3))
        boxed.pbc = True
        frames: dict[str, Atoms] = {
            "a molecule": start,
            "the molecule with its elements in another order": swapped,
            "the molecule in a periodic cell": boxed,
            "the molecule with atoms moved by 0.01 Å": moved(start, np.linspace(-0.01, 0.01, 18).reshape(6, 3)),
            "one atom": lone_atom(self.elements[0]),
            "the molecule again": start,
        }
        in_turn = self.results(list(frames.values()))
        other = self._another()
        before = "nothing"
        for (name, frame), found in zip(frames.items(), in_turn, strict=True):
            other.evaluate([lone_atom(self.elements[-1])])
            self.same_motion(f"{name} after {before}", found, other.evaluate([frame.copy()])[0])
            before = name

    def test_two_threads(self) -> None:
        """Two calculators in two threads give what they give alone.

        Tolerance: rounding; a molecule and a crystal, ten times each.
        Why: servers and parallel screening have a calculator in each thread; a mix-up gives plausible numbers.
        Goes wrong: caches and work arrays of a module or class, which all calculators share.
        """
        frames = {name: self.frames()[name] for name in ("molecule", "crystal")}
        potentials = [self._another(), self._another()]
        expected = [one.evaluate([frame.copy()])[0] for one, frame in zip(potentials, frames.values(), strict=True)]
        found = _at_the_same_time(potentials, list(frames.values()))
        for name, results, alone in zip(frames, found, expected, strict=True):
            for one in results:
                self.same_motion(f"the {name}, while another thread computes another frame", one, alone)

    def same_motion(self, law: str, actual: Results, expected: Results) -> None:
        """Fail unless energies and forces agree; the stress of molecules has a check of its own."""
        self.same(law, dataclasses.replace(actual, stress=None), expected)

    def _another(self) -> Potential:
        """A calculator that has not been called."""
        return wrapped(self.calculator(), self.name or type(self).__name__)


def _at_the_same_time(potentials: list[Potential], frames: list[Atoms]) -> list[list[Results]]:
    """Results of each frame, computed many times in a thread of its own."""
    found: list[list[Results]] = [[] for _ in frames]
    errors: list[str] = []
    barrier = threading.Barrier(len(frames))

    def work(number: int) -> None:
        try:
            for turn in range(TURNS):
                shifted = moved(frames[number], np.full(3, 1e-9 * turn))  # else ASE answers from its memory
                barrier.wait()  # at each call, or a fast thread is done before the other has begun
                found[number] += potentials[number].evaluate([shifted])
        except threading.BrokenBarrierError:
            return  # the other thread has failed
        except Exception as error:  # noqa: BLE001 - reported below, in the thread of the check
            errors.append(f"{type(error).__name__}: {error}")
            barrier.abort()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(len(frames))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    check_that(not errors, f"two threads that compute frames at the same time: one fails with {', '.join(errors)}")
    return found
