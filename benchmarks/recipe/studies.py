"""The experiments, one study for each question; a run that several studies need is made once."""

from __future__ import annotations

from dataclasses import dataclass, replace

from settings import Settings


@dataclass(frozen=True)
class Study:
    """Runs that answer one question."""

    name: str
    title: str
    description: str
    runs: dict[str, Settings]
    """Label of each row and its settings."""


ETHANOL = Settings(steps=1000)
HUBER = replace(ETHANOL, loss="huber")
SILICON = Settings(data="si", r_max=5.0, batch=2, stress=10.0, steps=250)
SILICON_HUBER = replace(SILICON, loss="huber")
FAST = replace(HUBER, lr=0.02)
LONG = Settings(seconds=15.0, decay=0.8)
IN_TIME = Settings(seconds=15.0, loss="huber", lr=0.02)
WIDE = {"num_features": 32, "radial_mlp_width": 64}
ALLEGRO = Settings(seconds=10.0, loss="huber", family="allegro")

STUDIES = {
    study.name: study
    for study in (
        Study(
            "schedule",
            "Schedule",
            "Squared errors, learning rate 0.01. The plateau halves the rate after three checks without progress, of "
            "40 in the run, and keeps the best weights.",
            {
                "falling in the last 40 %": ETHANOL,
                "plateau": replace(ETHANOL, schedule="plateau"),
            },
        ),
        Study(
            "loss",
            "Loss and weight of the energies",
            "Learning rate 0.01, falling in the last 40 % unless stated. Huber losses are linear beyond errors of "
            "0.05 eV/Å, 0.005 eV per atom and 0.005 eV/Å³. The number is the weight of energies per atom; forces have "
            "1, stress 10.",
            {
                "squares, 1": ETHANOL,
                "Huber, 1": HUBER,
                "Huber, from 1 to 30 as the rate falls": replace(HUBER, last_energy=30.0),
                "squares, 10, falling in the last 80 %": replace(ETHANOL, energy=10.0, decay=0.8),
                "squares, 1, falling in the last 80 %": replace(SILICON, decay=0.8),
                "Huber, 1 (silicon)": SILICON_HUBER,
                "Huber, from 1 to 100 as the rate falls": replace(SILICON_HUBER, last_energy=100.0),
            },
        ),
        Study(
            "rate",
            "Learning rate",
            "Huber losses, falling in the last 40 %.",
            {
                "NequIP-like, 0.01": HUBER,
                "NequIP-like, 0.02": FAST,
                "NequIP-like, 0.03": replace(HUBER, lr=0.03),
                "NequIP-like, 0.05": replace(HUBER, lr=0.05),
                "silicon, 0.01, energies from 1 to 100": replace(SILICON_HUBER, last_energy=100.0),
                "silicon, 0.03, energies from 1 to 100": replace(SILICON_HUBER, last_energy=100.0, lr=0.03),
                "Allegro-like, 0.01": ALLEGRO,
                "Allegro-like, 0.03": replace(ALLEGRO, lr=0.03),
            },
        ),
        Study(
            "size",
            "Batch and width in equal time",
            "15 CPU seconds, or the steps that take as long.",
            {
                "Huber, rate 0.02, batch of 5, 16 channels": FAST,
                "Huber, rate 0.02, batch of 5, 32 channels": replace(IN_TIME, model=WIDE),
                "squares, 0.01 falling in the last 80 %, batch of 1": replace(LONG, batch=1),
                "squares, 0.01 falling in the last 80 %, 32 channels": replace(LONG, model=WIDE),
            },
        ),
        Study(
            "repeats",
            "Seeds and longer runs",
            "The seed is that of the weights and of the order of batches; the rate falls in the last 40 %.",
            {
                "Huber, rate 0.01, seed 1": HUBER,
                "Huber, rate 0.01, seed 2": replace(HUBER, seed=2),
                "Huber, rate 0.03, seed 1": replace(HUBER, lr=0.03),
                "Huber, rate 0.03, seed 2": replace(HUBER, lr=0.03, seed=2),
                "squares, rate 0.01, seed 1, longer": replace(ETHANOL, steps=2500),
            },
        ),
    )
}
