"""What to cite, by component of the model and the training."""

from __future__ import annotations

from typing import TYPE_CHECKING

from equipot.artifacts import citations_of
from equipot.containers import leaves
from equipot_fit._report._html import code, element, joined, paragraph, table
from equipot_fit._report._section import Data, Section

if TYPE_CHECKING:
    from equipot_fit._report._subject import Subject

BIBTEX = {
    "equipot": (
        "equipot",
        """@software{equipot,
  title   = {equipot: a plugin ecosystem for E(3)-equivariant machine-learning interatomic potentials},
  author  = {{The equipot developers}},
  version = {VERSION},
  license = {MIT}
}""",
    ),
    "NequIP": (
        "model (NequIP)",
        """@article{Batzner2022,
  title   = {E(3)-equivariant graph neural networks for data-efficient and accurate interatomic potentials},
  author  = {Batzner, Simon and Musaelian, Albert and Sun, Lixin and Geiger, Mario and Mailoa, Jonathan P. and
             Kornbluth, Mordechai and Molinari, Nicola and Smidt, Tess E. and Kozinsky, Boris},
  journal = {Nature Communications},
  volume  = {13},
  pages   = {2453},
  year    = {2022},
  doi     = {10.1038/s41467-022-29939-5}
}""",
    ),
    "Allegro": (
        "model (Allegro)",
        """@article{Musaelian2023,
  title   = {Learning local equivariant representations for large-scale atomistic dynamics},
  author  = {Musaelian, Albert and Batzner, Simon and Johansson, Anders and Sun, Lixin and Owen, Cameron J. and
             Kornbluth, Mordechai and Kozinsky, Boris},
  journal = {Nature Communications},
  volume  = {14},
  pages   = {579},
  year    = {2023},
  doi     = {10.1038/s41467-023-36329-y}
}""",
    ),
    "ZBL": (
        "repulsion of nuclei (ZBL)",
        """@incollection{Ziegler1985,
  title     = {The Stopping and Range of Ions in Matter},
  author    = {Ziegler, J. F. and Biersack, J. P.},
  booktitle = {Treatise on Heavy-Ion Science},
  volume    = {6},
  pages     = {93--129},
  publisher = {Springer},
  year      = {1985},
  doi       = {10.1007/978-1-4615-8103-1_3}
}""",
    ),
    "Adam": (
        "optimizer (Adam)",
        """@misc{Kingma2014,
  title         = {Adam: A Method for Stochastic Optimization},
  author        = {Kingma, Diederik P. and Ba, Jimmy},
  year          = {2014},
  eprint        = {1412.6980},
  archiveprefix = {arXiv}
}""",
    ),
    "e3nn": (
        "equivariant operations (e3nn)",
        """@misc{Geiger2022,
  title         = {e3nn: Euclidean Neural Networks},
  author        = {Geiger, Mario and Smidt, Tess},
  year          = {2022},
  eprint        = {2207.09453},
  archiveprefix = {arXiv}
}""",
    ),
    "ASE": (
        "structures and dynamics (ASE)",
        """@article{Larsen2017,
  title   = {The atomic simulation environment---a {Python} library for working with atoms},
  author  = {Larsen, Ask Hjorth and others},
  journal = {Journal of Physics: Condensed Matter},
  volume  = {29},
  pages   = {273002},
  year    = {2017},
  doi     = {10.1088/1361-648X/aa680e}
}""",
    ),
}
"""What a component is for, and its entry."""


def data(subject: Subject) -> Data:
    """Entries of BibTeX, and what components and plugins say themselves."""
    targets = [str(value) for path, value in leaves(subject.run.config) if path.endswith("_target_")]
    targets += [str(value) for path, value in leaves(subject.stored_model.config) if path.endswith("_target_")]
    names = ["equipot", *(name for name in ("NequIP", "Allegro", "ZBL") if any(name in _last(one) for one in targets))]
    names += ["Adam"] if any(_last(one).startswith("Adam") for one in targets) else []
    names += ["e3nn"] if any(name in names for name in ("NequIP", "Allegro")) else []
    names.append("ASE")
    version = subject.manifest.versions.get("equipot", "")
    entries = [{"for": BIBTEX[name][0], "bibtex": BIBTEX[name][1].replace("VERSION", version)} for name in names]
    stated = list(dict.fromkeys([*subject.manifest.citations, *citations_of(subject.stored_model.config)]))
    return {"entries": entries, "stated": stated}


def _last(target: str) -> str:
    return target.rpartition(".")[2]


def draw(data: Data) -> str:
    """What is for what, and the entries to copy."""
    parts: list[object] = []
    if data["stated"]:
        parts.append(table(("the components of the model ask to cite",), [(one,) for one in data["stated"]]))
    parts.append(paragraph("BibTeX: " + ", ".join(one["for"] for one in data["entries"]) + "."))
    parts.append(element("div", code("\n\n".join(one["bibtex"] for one in data["entries"])), class_="long"))
    return joined(parts)


SECTION = Section("citations", "What to cite", data, draw)
