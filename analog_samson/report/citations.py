"""What to cite for a report, as text for readers and as BibTeX."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analog_samson import __version__
from analog_samson.analysis.labels import few_names

_DOI = re.compile(r"10\.\d{4,9}/\S+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """One work: why it is cited, the reference, where it is found, and its BibTeX entry."""

    reason: str
    text: str
    url: str | None
    bibtex: str


def references(presets: Sequence[Mapping[str, Any]]) -> list[Reference]:
    """This tool, the method, the simulator, and the source of each preset that names one."""
    cited: dict[str, tuple[Mapping[str, Any], list[str]]] = {}
    for preset in presets:
        source = preset.get("source") or {}
        if source.get("citation"):
            cited.setdefault(repr((source["citation"], source.get("doi"))), (source, []))[1].append(preset["name"])
    return [_tool(), *_PAPERS, *(_preset_reference(names, source) for source, names in cited.values())]


def doi_url(doi: object) -> str | None:
    """The address of a DOI; None for anything that is not one.

    >>> doi_url("10.1038/s41467-023-40770-4"), doi_url("javascript:alert(1)")
    ('https://doi.org/10.1038/s41467-023-40770-4', None)
    """
    return f"https://doi.org/{doi}" if isinstance(doi, str) and _DOI.fullmatch(doi) else None


def _tool() -> Reference:
    fields = {
        "author": "{The analog-samson authors}",
        "title": "{analog-samson}: neural networks on simulated analog hardware over time",
        "version": __version__,
    }
    text = f"The analog-samson authors, analog-samson, version {__version__}, software."
    return Reference(reason="this report", text=text, url=None, bibtex=_entry("software", "analog_samson", fields))


def _preset_reference(names: Sequence[str], source: Mapping[str, Any]) -> Reference:
    fields = {"note": str(source["citation"])}
    fields |= {key: str(source[key]) for key in ("doi", "year") if source.get(key)}
    return Reference(
        reason=f"preset{'s' * (len(names) > 1)} {few_names(names)}",
        text=str(source["citation"]),
        url=doi_url(source.get("doi")),
        bibtex=_entry("misc", names[0], fields),
    )


def _entry(kind: str, key: str, fields: Mapping[str, str]) -> str:
    lines = [f"  {name} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@{kind}{{{key},", *lines, "}"])


def _paper(reason: str, key: str, url: str, kind: str, fields: Mapping[str, str]) -> Reference:
    authors = fields["author"].replace(" and ", ", ")
    place = fields.get("journal") or fields.get("booktitle") or f"arXiv {fields['eprint']}"
    text = f"{authors}, {fields['title']}, {place}, {fields['year']}."
    return Reference(reason=reason, text=text, url=url, bibtex=_entry(kind, key, fields))


_PAPERS = (
    _paper(
        "SAMSON training",
        "mordido2022samson",
        "https://arxiv.org/abs/2211.11561",
        "misc",
        {
            "author": "Gonçalo Mordido and Sébastien Henwood and Sarath Chandar and François Leduc-Primeau",
            "title": "SAMSON: Sharpness-Aware Minimization Scaled by Outlier Normalization "
            "for Improving DNN Generalization and Robustness",
            "year": "2022",
            "eprint": "2211.11561",
            "archiveprefix": "arXiv",
        },
    ),
    _paper(
        "analog tiles and device models (aihwkit)",
        "rasch2021aihwkit",
        "https://doi.org/10.1109/AICAS51828.2021.9458494",
        "inproceedings",
        {
            "author": "Malte J. Rasch and Diego Moreda and Tayfun Gokmen and Manuel Le Gallo and Fabio Carta "
            "and Cindy Goldberg and Kaoutar El Maghraoui and Abu Sebastian and Vijay Narayanan",
            "title": "A flexible and fast PyTorch toolkit for simulating training and inference "
            "on analog crossbar arrays",
            "booktitle": "IEEE International Conference on Artificial Intelligence Circuits and Systems (AICAS)",
            "year": "2021",
            "doi": "10.1109/AICAS51828.2021.9458494",
        },
    ),
    _paper(
        "hardware-aware evaluation with aihwkit",
        "rasch2023hardware",
        "https://doi.org/10.1038/s41467-023-40770-4",
        "article",
        {
            "author": "Malte J. Rasch and Charles Mackin and Manuel Le Gallo and An Chen and Andrea Fasoli "
            "and Frédéric Odermatt and Ning Li and S. R. Nandakumar and Pritish Narayanan and Hsinyu Tsai "
            "and Geoffrey W. Burr and Abu Sebastian and Vijay Narayanan",
            "title": "Hardware-aware training for large-scale and diverse deep learning inference workloads "
            "using in-memory computing-based accelerators",
            "journal": "Nature Communications 14, 5282",
            "year": "2023",
            "doi": "10.1038/s41467-023-40770-4",
        },
    ),
)
