"""The conformance class of energy terms: the checks of models, on a healthy model with the term."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from equipot_testing._checklist import NotApplicable
from equipot_testing._model_conformance import ModelBuilderConformance
from equipot_testing._model_symmetry import TIGHT
from equipot_testing._refusals import check_refused, check_unknown_option_refused
from equipot_testing.checks import check_close, check_that
from equipot_testing.frames import Structure, batch_of, random_structure, served
from equipot_testing.toy import ToyFeatures

if TYPE_CHECKING:
    from equipot.model import EnergyTerm, GraphModel, ModelBuilder


class EnergyTermConformance(ModelBuilderConformance):
    """The checks of an energy term.

    The term is added to a tiny model with features that passes all checks, so that every failure is due to the term.
    Structures whose boundary conditions the term does not serve are left out.

    Example:
        >>> class TestDispersion(EnergyTermConformance):
        ...     name = "Dispersion"
        ...     options = {"r_max": 8.0}

    Forces and stress come from the installed modifier that provides them (``equipot-force-stress``).
    """

    kind = "energy_terms"

    # checks that only apply to builders
    test_types_matter = None  # type: ignore[assignment]
    test_energy_only = None  # type: ignore[assignment]
    test_seed = None  # type: ignore[assignment]
    test_model_dtype = None  # type: ignore[assignment]
    test_package = None  # type: ignore[assignment]
    test_compile = None  # type: ignore[assignment]

    def term(self, **changes: Any) -> EnergyTerm:
        """The options under test."""
        term: EnergyTerm = self.component()(**{**self.options, **changes})
        return term

    def recipe(self, **changes: Any) -> ModelBuilder:
        """The tiny model with the term."""
        return ToyFeatures(**{**self.base_options(), "energy_terms": {"term": self.term()}, **changes})

    def structures(self) -> dict[str, Structure]:
        """Bulk, slab, wire, molecule and lone atom, as far as the term serves them; others of those instead."""
        info, standard = self.model().info, super().structures()
        kept = {name: one for name, one in standard.items() if served([one], info)}
        kinds = list(kept.values())
        for count in range(len(standard) - len(kept)):
            pbc, size = kinds[count % len(kinds)].pbc, 4 + 2 * count
            kept[f"more {count + 1}"] = random_structure(size, len(self.type_names), seed=40 + count, pbc=pbc)
        return kept

    def _rebuilt(self, model: GraphModel) -> GraphModel:
        """The tiny model itself: it is not declared, so it cannot be rebuilt."""
        return model

    def _own_part(self, **changes: Any) -> Any:
        """Atomic energies with the term minus those without it, eV, shape [n_atoms]."""
        model, bare = self.model(**changes), self.model(energy_terms={}, **changes)
        batch = batch_of(self.structures().values(), model.info)
        return model(batch)["atomic_energy"] - bare(batch)["atomic_energy"]

    # ----------------------------------------------------------------- checks

    def test_adds_to_the_model(self) -> None:
        """The term adds energy, which does not depend on the scales and shifts of the model.

        Tolerance: 1e-9, relative to the largest value or 1.
        Why: the scale of the learned part must not scale a physical law.
        Goes wrong: a term that is zero with its default options; a term that reads the energies computed before.
        """
        part = self._own_part()
        check_that(bool(part.any()), "the term must add energy to some atom of bulk, slab, wire or molecule")
        other = self._own_part(per_type_energy_scales=3.0, per_type_energy_shifts=-7.0)
        check_close("scales and shifts must not act on the term", other, part, tolerance=TIGHT)

    def test_unknown_option(self) -> None:
        """An unknown option is refused with an error that names it.

        Tolerance: none.
        Why: with a misspelled option, the default would silently be used.
        Goes wrong: a class that is not a frozen dataclass.
        """
        check_unknown_option_refused(self.term)

    def test_wrong_type(self) -> None:
        """A value of the wrong type raises a ConfigError that names the option.

        Tolerance: none; the first numeric option is given as a word.
        Why: configs are checked before data are read, and the message is all that the user sees.
        Goes wrong: ``__post_init__`` overridden without calling ``super()``.
        """
        from equipot.describe import describe_options

        numbers = [one.name for one in describe_options(self.component()) if one.annotation in ("float", "int")]
        if not numbers:
            raise NotApplicable("the term has no numeric option")
        check_refused(f"{numbers[0]}='four'", lambda: self.term(**{numbers[0]: "four"}), numbers[0])
