"""The table on the screen and the plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def show(result: dict[str, Any]) -> None:
    """Print one case: times and ratios with their ranges."""
    sizes = result["sizes"]
    print(f"\n{result['case']}: {sizes['atoms']} atoms, {sizes['edges']} edges, {sizes['frames']} frames")
    print(f"  {'mode':22s} {'CPU ms, median (range)':>30s} {'times faster, median (range)':>32s} {'|ΔF|, eV/Å':>12s}")
    for key, clocks in result["times_ms"].items():
        one = clocks["cpu"]
        time = f"{one['median']:.1f} ({one['min']:.1f}-{one['max']:.1f})"
        ratio = result["ratios"].get(key.removeprefix("equipot/"), {}).get("cpu")
        faster = f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})" if ratio else ""
        agreement = result["agreement"].get(key)
        difference = f"{agreement['forces']:.1e}" if agreement else ""
        print(f"  {key:22s} {time:>30s} {faster:>32s} {difference:>12s}")


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Ratios of all cases as bars with their ranges."""
    from matplotlib.figure import Figure

    rows = [
        (f"{result['case']}: {mode}", clocks["cpu"]) for result in results for mode, clocks in result["ratios"].items()
    ]
    if not rows:
        return
    figure = Figure(figsize=(8.0, 1.0 + 0.26 * len(rows)), layout="constrained")
    axes: Any = figure.subplots()
    places = list(range(len(rows)))[::-1]
    medians = [one["median"] for _, one in rows]
    ranges = [[one["median"] - one["min"] for _, one in rows], [one["max"] - one["median"] for _, one in rows]]
    axes.barh(places, medians, xerr=ranges, color="#4477aa", height=0.7)
    axes.set_yticks(places, [name for name, _ in rows], fontsize=8)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("times faster than the peer's best of the same kind (CPU time, median and range)")
    figure.savefig(path, dpi=150)
