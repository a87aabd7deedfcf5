"""The conformance class of energy terms: the checks of models, on a healthy model with the term."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from equipot.errors import ConfigError
from equipot.model import BuildContext
from equipot_testing._checklist import NotApplicable
from equipot_testing._model_conformance import ModelBuilderConformance
from equipot_testing._model_kit import five_types
from equipot_testing._model_symmetry import TIGHT
from equipot_testing._refusals import check_refused, check_unknown_option_refused
from equipot_testing._stand_ins import tiny_model_for
from equipot_testing.checks import check_close, check_that
from equipot_testing.frames import batch_of, placed, structures_for
from equipot_testing.toy import ToyFeaturesEnergy, ToyModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from equipot.model import EnergyTerm, GraphModel, ModelBuilder
    from equipot_testing.frames import Structure


class EnergyTermConformance(ModelBuilderConformance):
    """The checks of an energy term.

    The term is added to a tiny model that passes all checks, so that every failure is due to the term.

    Example:
        >>> class TestDispersion(EnergyTermConformance):
        ...     name = "Dispersion"
        ...     options = {"r_max": 8.0}

    Forces and stress come from the installed modifier that provides them (``equipot-force-stress``).
    """

    kind = "energy_terms"

    # checks that only apply to builders
    test_types_matter = None  # type: ignore[assignment]
    test_node_features = None  # type: ignore[assignment]
    test_energy_only = None  # type: ignore[assignment]
    test_seed = None  # type: ignore[assignment]
    test_model_dtype = None  # type: ignore[assignment]
    test_package = None  # type: ignore[assignment]
    test_compile = None  # type: ignore[assignment]

    def term(self, **changes: Any) -> EnergyTerm:
        """The options under test."""
        term: EnergyTerm = self.component()(**{**self.made_options(), **changes})
        return term

    def recipe(self, **changes: Any) -> ModelBuilder:
        """The tiny model with the term, which provides stand-ins for fields that the term requires."""
        options = {**self.base_options(), "energy_terms": {"term": self.term()}, **changes}
        info = ToyModel(**options).info()
        radii = torch.full((len(info.type_names),) * 2, info.r_max, dtype=torch.float64)
        context = BuildContext(
            type_names=info.type_names,
            chemical_species=info.chemical_species,
            r_max=info.r_max,
            cutoffs=radii,
            model_dtype=torch.float64,
            node_features=ToyFeaturesEnergy.features,
        )
        requires = [key for term in options["energy_terms"].values() for key in term.build(context).requires]
        return tiny_model_for(requires)(**options)

    def bare_model(self) -> GraphModel:
        """The tiny model with energies of the term alone."""
        model = self.model()
        with torch.no_grad():
            for weight in model.energy.parameters():
                weight.zero_()
        return model

    def structures(self) -> dict[str, Structure]:
        """Bulk, slab, wire, molecule and lone atom, as far as the term serves them, and at least four frames."""
        return structures_for(self.model().info)

    def _rebuilt(self, model: GraphModel) -> GraphModel:
        """The tiny model itself: it is not declared, so it cannot be rebuilt."""
        return model

    def _own_part(self, structures: Iterable[Structure] = (), **changes: Any) -> Any:
        """Atomic energies with the term minus those without it, eV, shape [n_atoms]."""
        model = self.model(**changes)
        bare = model.replace(energy_terms={})
        batch = batch_of(placed(structures or self.structures().values(), model.info), model.info)
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

    def test_five_types(self) -> None:
        """In a model of five types, a pair of atoms has the energy that the term gives it in a model of its two types.

        Tolerance: 1e-9, relative to the largest value or 1; does not apply to terms with weights to train, that
        read what the model computes, or that refuse these types.
        Why: the term is about elements, not about places in a list; data sets have up to 89 elements.
        Goes wrong: an index of types clamped to the size of a table; constants taken by index instead of by element.
        """
        names = five_types(self.type_names)
        try:
            whole = self._own_part(self._pairs_of_types(len(names)), **self._of_types(names)).reshape(-1, 2)
        except ConfigError as error:
            raise NotApplicable(f"the term refuses the types {names}: {error.problems[0]}") from None
        model = self.model()
        if any(one.requires_grad for one in model.energy_terms.parameters()):
            raise NotApplicable("the term has weights, which need not be the same in a model of other types")
        if model.energy.provides or any("node_features" in one.requires for _, one in model.components()[1:]):
            raise NotApplicable("the term reads what the model computes, which differs in a model of other types")
        for index in range(1, len(names)):
            two = (names[0], names[index])
            expected = self._own_part(self._pairs_of_types(2), **self._of_types(two)).reshape(-1, 2)
            rows = [len(names) * own + other for own in (0, index) for other in (0, index)]
            law = f"{'-'.join(two)} in a model of {len(names)} types: energies must be those in a model of these two"
            check_close(law, whole[rows], expected, tolerance=TIGHT)

    def _of_types(self, names: Sequence[str]) -> dict[str, Any]:
        """Options of the tiny model with other types, and the term for their elements."""
        has_species = "chemical_species" in self.options
        return {
            **self.options_of_types(names),
            "energy_terms": {"term": self.term(**({"chemical_species": list(names)} if has_species else {}))},
        }

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
