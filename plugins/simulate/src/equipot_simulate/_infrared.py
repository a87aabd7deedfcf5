"""Infrared spectra from the dipole moments along runs of molecular dynamics."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import units

from equipot.errors import ConfigError, DataError, problem
from equipot.files import atomic
from equipot.options import Options
from equipot_simulate._ensembles import Positive
from equipot_simulate._figures import BLUE, panels, save

if TYPE_CHECKING:
    from ase import Atoms

SPEED_OF_LIGHT = 2.99792458e-5
"""cm/fs."""

LONGEST_INTERVAL = 4.0
"""Of frames, fs: an O-H bond vibrates in 9 fs, and with less than two frames of it would seem to be slower."""

STRENGTH = units._Nav * units._e * 1e7 / (12.0 * units._eps0 * units._c**2)  # noqa: SLF001 - ASE's names of constants
"""N_A / 12 ε₀ c², in (km/mol) eV / (e Å/fs)²."""

_HANN_WIDTH = 1.44
"""Full width at half maximum of a line, in units of one divided by the length of a segment."""

_PROMINENCE = 0.03
"""Of a peak that is named, as a share of the highest."""


@dataclass(frozen=True, kw_only=True)
class InfraredOptions(Options):
    """How a spectrum is made."""

    temperature: Positive = 300.0
    """Of the runs, K."""

    resolution: Positive = 20.0
    """Full width at half maximum of a sharp line, 1/cm."""

    highest: Positive = 4000.0
    """Where the table and the figure end, 1/cm."""

    interval: Positive | None = None
    """Between frames, fs; by default from the times in the files."""


@dataclass(frozen=True)
class Spectrum:
    """A spectrum: wavenumbers in 1/cm, and what a mole absorbs for each of them in km/mol cm."""

    wavenumbers: np.ndarray
    intensities: np.ndarray

    def record(self) -> dict[str, Any]:
        """Total and peaks."""
        from scipy.signal import find_peaks

        where = find_peaks(self.intensities, prominence=_PROMINENCE * self.intensities.max())[0]
        peaks = [
            {"wavenumber_per_cm": round(float(self.wavenumbers[one]), 1), "intensity": float(self.intensities[one])}
            for one in where
        ]
        total = float(self.intensities.sum() * (self.wavenumbers[1] - self.wavenumbers[0]))
        return {"total_km_per_mol": total, "peaks": peaks}


def dipoles_of(frames: list[Atoms], path: str) -> np.ndarray:
    """Dipole moments of the frames of a file, e Å, [n_frames, 3].

    Raises:
        DataError: If a frame has none, or one that is not finite.
    """
    missing = [index for index, one in enumerate(frames) if one.calc is None or "dipole" not in one.calc.results]
    if missing:
        hint = "equipot md writes those of a model that predicts them, see the modifier add_Dipoles"
        raise DataError(problem(path, f"frame {missing[0]} has no dipole moment", hint=hint))
    found = np.array([one.calc.results["dipole"] for one in frames], dtype=float)
    if len(wrong := np.flatnonzero(~np.isfinite(found).all(axis=1))):
        raise DataError(problem(path, f"frame {wrong[0]}: the dipole moment is not finite"))
    return found


def interval_of(frames: list[Atoms], path: str, given: float | None) -> float:
    """Time between frames, fs.

    Raises:
        ConfigError: If the file does not say it and it is not given.
        DataError: If the frames are not equally far apart, or too far for the vibrations of hydrogen.
    """
    if given is None:
        times = [one.info.get("time_ps") for one in frames]
        if len(times) < 2 or None in times:
            raise ConfigError(problem(path, "the frames do not say their time", hint="give --interval, in fs"))
        steps = 1000.0 * np.diff(np.array(times, dtype=float))
        if not np.allclose(steps, steps[0], rtol=0, atol=1e-4):
            raise DataError(problem(path, "the times of the frames are not equally far apart"))
        given = float(steps[0])
    if not 0.0 < given <= LONGEST_INTERVAL:
        what = f"frames must be at most {LONGEST_INTERVAL:g} fs apart, or fast vibrations appear as slow ones"
        raise DataError(problem(path, what, got=round(given, 4), hint="run equipot md with a smaller --every"))
    return given


def spectrum_of(runs: list[np.ndarray], interval: float, options: InfraredOptions) -> Spectrum:
    r"""The spectrum that classical dynamics of molecules predict, the mean of all runs.

    .. math:: I(\nu) = \frac{N_A}{12 \epsilon_0 c^2 k T} \int \langle \dot\mu(0) \cdot \dot\mu(t) \rangle
        e^{-2 \pi i c \nu t} c\,dt

    over both signs of the frequency: the power spectrum of the derivative of the dipole moment. This form contains the
    quantum correction factor of a harmonic oscillator, βħω / (1 − exp(−βħω)), with which the intensities of harmonic
    vibrations do not depend on the temperature, and equal those of the harmonic approximation.

    Args:
        runs: Dipole moments of each run, e Å, [n_frames, 3].
        interval: Between frames, fs.
        options: Temperature, resolution and range.

    Raises:
        DataError: If a run is shorter than the resolution asks for, or no dipole moment changes.
        ConfigError: If the range ends before the first wavenumber.

    Source: Ramírez et al., J. Chem. Phys. 121, 3973 (2004), of the factors; Welch's method for the power spectrum.
    """
    from scipy.signal import welch

    length = round(_HANN_WIDTH / (SPEED_OF_LIGHT * options.resolution * interval))
    shortest = min(len(one) for one in runs)
    if shortest < max(length, 2):
        what = f"a resolution of {options.resolution:g} 1/cm needs {length} frames, {length * interval / 1000.0:.3g} ps"
        raise DataError(problem("infrared", what, got=shortest, hint="longer runs, or a larger --resolution"))
    if not any(np.ptp(one, axis=0).any() for one in runs):
        raise DataError(problem("infrared", "the dipole moment is the same in all frames", hint="give runs that move"))
    densities, weights = [], []
    for one in runs:
        # Derivatives are factors of the frequency, so that no finite difference damps fast vibrations.
        frequencies, density = welch(one, 1.0 / interval, nperseg=length, nfft=4 * length, axis=0)
        densities.append((2.0 * np.pi * frequencies) ** 2 * density.sum(axis=1))
        weights.append(len(one))
    wavenumbers = frequencies / SPEED_OF_LIGHT
    factor = STRENGTH * SPEED_OF_LIGHT / (units.kB * options.temperature)
    shown = wavenumbers <= options.highest
    if shown.sum() < 2:
        what = f"must be at least {wavenumbers[1]:.4g} 1/cm, the first wavenumber at this resolution"
        raise ConfigError(problem("--highest", what, got=options.highest))
    return Spectrum(wavenumbers[shown], factor * np.average(densities, axis=0, weights=weights)[shown])


def write_table(found: Spectrum, path: Path) -> None:
    """Write the spectrum as CSV."""
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["wavenumber_per_cm", "intensity_km_per_mol_cm"])
        writer.writerows(
            (f"{one:.3f}", f"{value:.6g}") for one, value in zip(found.wavenumbers, found.intensities, strict=True)
        )


def draw(found: Spectrum, path: Path, title: str) -> None:
    """The spectrum, as a PNG file."""
    figure, (axes,) = panels(1, width=6.4)
    axes.plot(found.wavenumbers, found.intensities, color=BLUE, linewidth=1.0)
    axes.set_xlim(float(found.wavenumbers[-1]), 0.0)
    axes.set_ylim(bottom=0.0)
    axes.set_xlabel("wavenumber, 1/cm")
    axes.set_ylabel("intensity, km/mol cm")
    axes.set_title(title)
    save(figure, path)
