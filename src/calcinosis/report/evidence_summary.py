"""What every view of the evidence shows: the treatments in a row each, studies in words, and the gaps."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Final, TextIO

from calcinosis.evidence.cells import EVENTS, Compared, Evidence, PooledCell, counted, evidence_for, load_pooled
from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.model import Source
from calcinosis.knowledge.studies import Study
from calcinosis.knowledge.treatments import Treatment, Use
from calcinosis.knowledge.wording import citation, cited

STANCE_WORD: Final = {"standard": "standard", "option": "option", "trial_only": "trials only", "no_data": "no data", "against": "against"}
STANCE_MEANS: Final = {
    "standard": "part of care that the sources agree on",
    "option": "studied or named, not established",
    "trial_only": "in trials only, not licensed",
    "no_data": "named, without data to judge it",
    "against": "the evidence speaks against it",
}
DIRECTION_WORD: Final = {
    "benefit": "benefit", "mixed": "mixed", "no_benefit": "no benefit", "harm": "harm", "not_seen": "result not seen",
}  # fmt: skip
DESIGN_WORD: Final = {"rct": "randomised trial", "prospective": "prospective study"}
SEEN_WORD: Final = {
    "full_text": "full text", "abstract": "abstract", "excerpt": "excerpt", "secondary": "quoted in another paper",
    "news": "news or conference report", "registry": "trial registry",
}  # fmt: skip
EVENT_WORD: Final = {"mortality": "deaths", "prevention": "new calcinosis"}
KIND_WORD: Final = {"withdrawal": "stopping a drug", "supportive": "supportive care"}
MIXED: Final = "mixed"
MIXED_MEANS: Final = "Patients of studies of several diseases cannot be split and are not counted for one of them (mixed: all of them are)."
NO_TYPE: Final = "Type not stated"
POOLING: Final = (
    "Pooled: the median over studies (binomial-normal model); half of all studies lie below it. 95 % intervals. One study: exact interval. "
    "Single cases, counts of lesions or limbs, and combinations are listed, never pooled."
)


@dataclass(frozen=True, slots=True)
class Line:
    """One treatment in one type, as a row of the overview."""

    treatment: Treatment
    type: str
    stances: tuple[str, ...]
    evidence: Evidence

    @property
    def flags(self) -> tuple[str, ...]:
        """What a reader must not miss."""
        e = self.evidence
        found = ["evidence against"] if "against" in self.stances else []
        if e.studies and e.studies == e.single_cases:
            found.append("single cases only")
        elif not e.studies:
            found.append("reviews or guidelines only" if any(row.direction != "not_seen" for row in e.rows) else "no data")
        return tuple(found)

    @property
    def stance(self) -> str:
        return ", ".join(STANCE_WORD[each] for each in self.stances) or "not listed"

    @property
    def patients(self) -> str:
        """Patients followed under the treatment, of those in the studies; of one disease without those of mixed populations."""
        e = self.evidence
        if e.mixed and (e.evaluated, e.patients) == (None, None):
            return MIXED
        if e.evaluated is None:
            return "–" if e.patients is None else f"? of {e.patients}"
        return str(e.evaluated) if e.patients in (None, e.evaluated) else f"{e.evaluated} of {e.patients}"

    @property
    def pooled(self) -> tuple[PooledCell, ...]:
        """All diseases together, unless the evidence is about one disease."""
        together = tuple(cell for cell in self.evidence.pooled if cell.disease is None)
        return together or self.evidence.pooled


def overview(knowledge: Knowledge, treatment: str | None = None, type_: str | None = None, disease: str | None = None) -> list[Line]:
    """Every treatment and type that a use or a study names; by type, then by stance, then by patients followed."""
    lines = []
    for key, each in knowledge.treatments.items():
        if treatment not in (None, key):
            continue
        for place in knowledge.types:
            if type_ not in (None, place):
                continue
            uses = uses_of(each, place, disease)
            found = evidence_for(knowledge, key, place, disease)
            if found.rows or any(disease is None or disease in use.diseases for use in uses):
                stances = tuple(stance for stance in STANCE_WORD if any(use.stance == stance for use in uses))
                lines.append(Line(each, place, stances, found))
    type_order, stance_order = list(knowledge.types), list(STANCE_WORD)
    return sorted(
        lines,
        key=lambda line: (
            type_order.index(line.type),
            min((stance_order.index(stance) for stance in line.stances), default=len(stance_order)),
            -(line.evidence.evaluated or 0),
            line.treatment.label,
        ),
    )


def nothing_found(knowledge: Knowledge, type_: str | None, disease: str | None) -> str:
    asked = [knowledge.diseases[disease].label] if disease else []
    asked += [knowledge.types[type_].label.lower()] if type_ else []
    return f"No treatment and no study in the knowledge names {' in '.join(asked) or 'this'}."


def by_type(lines: Iterable[Line]) -> dict[str, list[Line]]:
    groups: dict[str, list[Line]] = {}
    for line in lines:
        groups.setdefault(line.type, []).append(line)
    return groups


# --- what the user asked for -----------------------------------------------------------------------


def find_treatment(name: str, knowledge: Knowledge) -> Treatment:
    """By key, label or other name, in any case.

    Raises:
        KeyError: nothing has this name; the message lists the nearest valid ones.
    """
    names: dict[str, list[Treatment]] = {}
    for each in knowledge.treatments.values():
        for known in dict.fromkeys(_plain(word) for word in (each.key, each.label, *each.names)):
            names.setdefault(known, []).append(each)
    wanted = _plain(name)
    found = knowledge.treatments.get(name) or next((each for each in names.get(wanted, ()) if len(names[wanted]) == 1), None)
    if found is not None:
        return found
    near = [*names.get(wanted, ())]
    near += [each for known, owners in names.items() if len(wanted) > 2 and wanted in known for each in owners]
    near += [each for known in get_close_matches(wanted, list(names), n=6, cutoff=0.6) for each in names[known]]
    near += [each for each in knowledge.treatments.values() if each.drug_class and _plain(each.drug_class) == wanted]
    keys = list(dict.fromkeys(each.key for each in near))[:8]
    hint = f"did you mean {', '.join(keys)}?" if keys else "`calcinosis evidence` lists them all"
    raise KeyError(f"no treatment {name!r}; {hint}")


def find_type(name: str | None, knowledge: Knowledge) -> str | None:
    return _find(name, {key: each.label for key, each in knowledge.types.items()}, "type")


def find_disease(name: str | None, knowledge: Knowledge) -> str | None:
    """By key, label or a synonym of the concept of the same key."""
    synonyms = {key: knowledge.concepts[key].synonyms for key in knowledge.diseases if key in knowledge.concepts}
    return _find(name, {key: each.label for key, each in knowledge.diseases.items()}, "disease", synonyms)


def _find(name: str | None, labels: Mapping[str, str], what: str, synonyms: Mapping[str, Sequence[str]] | None = None) -> str | None:
    if name is None:
        return None
    names = [(known, key) for key, label in labels.items() for known in (key, label)]
    names += [(known, key) for key, others in (synonyms or {}).items() for known in others]
    for known, key in names:
        if _plain(name) == _plain(known):
            return key
    near = get_close_matches(_plain(name).replace(" ", "_"), list(labels), n=3, cutoff=0.6)
    raise KeyError(f"no {what} {name!r}; " + (f"did you mean {', '.join(near)}? " if near else "") + f"valid: {', '.join(labels)}")


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())


# --- words -----------------------------------------------------------------------------------------


def type_label(knowledge: Knowledge, key: str | None) -> str:
    return NO_TYPE if key is None else knowledge.types[key].label


def disease_labels(knowledge: Knowledge, keys: Iterable[str]) -> str:
    return ", ".join(knowledge.diseases[key].label for key in keys)


def design(row: Study) -> str:
    return DESIGN_WORD.get(row.design, row.design.replace("_", " "))


def outcome(name: str) -> str:
    """The outcome as a heading names it."""
    return {"none_seen": "no outcome seen"}.get(name, name.replace("_", " "))


def what_is_counted(name: str) -> str:
    """Responses, or the event itself: what ``counted`` counts."""
    return EVENT_WORD.get(name, outcome(name)) if name in EVENTS else "responses"


def percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def span(low: float, high: float) -> str:
    return f"{100 * low:.0f} to {100 * high:.0f} %"


def ratio(value: float | None) -> str:
    return "not estimable" if value is None else "∞" if value == float("inf") else f"{value:.2f}"


def pooled_in_words(cell: PooledCell) -> str:
    """One line: what, how many, the proportion and its interval."""
    studies = "1 study" if cell.k == 1 else f"{cell.k} studies"
    return f"{outcome(cell.outcome)}: {percent(cell.estimate)} ({span(cell.low, cell.high)}); {cell.events} of {cell.n}, {studies}"


def how_pooled(cell: PooledCell) -> str:
    """One study, a median over studies, or counts added up where no study or every study has nothing but events."""
    if cell.k == 1:
        return "one study"
    return f"median over {cell.k} studies" if cell.tau2 is not None else f"counts of {cell.k} studies added up"


def heterogeneity(cell: PooledCell) -> str:
    """How far studies differ; empty for one study."""
    parts = []
    if cell.prediction_low is not None and cell.prediction_high is not None:
        parts.append(f"a new study would lie at {span(cell.prediction_low, cell.prediction_high)} (95 % prediction interval)")
    if cell.heterogeneity_p is not None:
        p = "< 0.001" if cell.heterogeneity_p < 0.001 else f"{cell.heterogeneity_p:.2g}"
        parts.append(f"studies alike: p = {p}".replace("= <", "<"))
    if cell.tau2 is not None:
        parts.append(f"variance between studies {cell.tau2:.2g} (logit scale)")
    return "; ".join(parts)


def has_counts(row: Study) -> bool:
    return bool(row.n_evaluable) and (row.n_response is not None or row.n_events is not None)


def counts_in_words(row: Study) -> str:
    """What was counted, as printed in the row: ``9 of 17 (9 partial)``."""
    if row.outcome == "none_seen":
        return "no outcome seen"
    named = [("complete", row.n_complete), ("partial", row.n_partial), ("unchanged", row.n_none), ("worse", row.n_worse)]
    split = ", ".join(f"{n} {word}" for word, n in named if n is not None)
    unit = row.unit if row.n_evaluable != 1 else row.unit.removesuffix("s")
    if not has_counts(row):
        if split:
            said = f"{split} of {row.n_evaluable}"
        elif row.n_events is not None:
            said = f"{row.n_events} {what_is_counted(row.outcome)}, number followed not given"
        else:
            said = f"{row.n_evaluable} {unit} followed, no count of what happened" if row.n_evaluable else "no counts"
        return f"{outcome(row.outcome)}: {said}"
    kind = f" {what_is_counted(row.outcome)}" if row.outcome in EVENTS and what_is_counted(row.outcome) != outcome(row.outcome) else ""
    total = f"{counted(row)} of {row.n_evaluable}{'' if row.unit == 'patients' else f' {unit}'}{kind}"
    return f"{outcome(row.outcome)}: {total}{f' ({split})' if split else ''}"


def effect_in_words(row: Study) -> str:
    """The authors' own ratio or difference; empty without."""
    if row.effect is None:
        return ""
    limits = f" ({row.effect_low:g} to {row.effect_high:g})" if row.effect_low is not None and row.effect_high is not None else ""
    return f"{row.effect_measure} {row.effect:g}{limits}, as printed"


def pooling_in_words(row: Study) -> str:
    """Whether the row is part of a pooled proportion, and if not, why."""
    if any(row.row in cell.rows for cell in load_pooled()):
        return "pooled"
    return f"not pooled: {row.pool_note or 'the type is not stated'}"


def given(row: Study) -> str:
    """Route, dose, duration and follow-up as printed."""
    parts = [part for part in (row.route, row.dose, row.duration) if part]
    return ", ".join(parts) + (f"{'; ' if parts else ''}follow-up {row.follow_up}" if row.follow_up else "")


def size(row: Study) -> str:
    return "n not given" if row.n_patients is None else f"n = {row.n_patients}"


def study_name(source: Source) -> str:
    """First author and year, or the key where the content has neither."""
    author = source.authors.split(",")[0].removesuffix(" et al.") if source.authors else ""
    return f"{author} {source.year}" if author and source.year else author or source.key


def studies_by_type(rows: Iterable[Study], knowledge: Knowledge) -> dict[str | None, list[Study]]:
    """Cohorts before single cases before reviews; the larger first. Rows that state no type come last."""
    ranks = {name: rank for rank, name in enumerate(("rct", "prospective", "retrospective_cohort", "case_series", "case_report"))}
    groups: dict[str | None, list[Study]] = {key: [] for key in (*knowledge.types, None)}
    for row in sorted(rows, key=lambda row: (row.arm == "comparator", ranks.get(row.design, 9), -(row.n_evaluable or row.n_patients or 0))):
        groups[row.calcification_type].append(row)
    return {key: rows for key, rows in groups.items() if rows}


def uses_of(treatment: Treatment, type_: str | None = None, disease: str | None = None) -> list[Use]:
    return [
        use
        for use in treatment.uses
        if (type_ is None or type_ in use.types) and (disease is None or not use.diseases or disease in use.diseases)
    ]


def comparisons_of(compared: Sequence[Compared], treatment: str | None, type_: str | None, rows: Iterable[Study]) -> list[Compared]:
    """Comparisons of a treatment, alone or as part of a combination, all of whose studies are among the rows."""
    known = {row.row for row in rows}
    return [
        each
        for each in compared
        if (treatment is None or treatment in each.treatment.split(" + ")) and type_ in (None, each.type) and known.issuperset(each.rows)
    ]


def compared_label(each: Compared, knowledge: Knowledge) -> str:
    return " with ".join(knowledge.treatments[key].label for key in each.treatment.split(" + "))


def references(knowledge: Knowledge, rows: Iterable[Study], treatments: Iterable[Treatment] = ()) -> list[tuple[str, str, str]]:
    """Key, text and address of everything cited, by key."""
    keys = {row.study for row in rows} | {key for each in treatments for key in cited(each)}
    return [(key, *citation(knowledge.sources[key])) for key in sorted(keys) if key in knowledge.sources]


def identifiers(source: Source) -> str:
    """PMID and DOI in words."""
    named = (("PMID", source.pmid), ("doi", source.doi), ("PMC", source.pmcid if not (source.pmid or source.doi) else None))
    return ", ".join(f"{name} {value}" for name, value in named if value)


# --- gaps ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gaps:
    """What nobody has measured."""

    without_data: list[Line]  # no study with patients of its own
    single_cases_only: list[Line]
    empty_types: list[tuple[Treatment, list[str]]]  # types of a use without any row
    empty_diseases: list[tuple[Treatment, list[str]]]  # diseases that a use names and no row does
    diseases_without_rows: list[str]


def gaps(knowledge: Knowledge, lines: Sequence[Line]) -> Gaps:
    treatments = {line.treatment.key: line.treatment for line in lines}
    by_treatment = {key: [line for line in lines if line.treatment.key == key] for key in treatments}
    empty = []
    for key, each in treatments.items():
        named = dict.fromkeys(disease for use in each.uses for disease in use.diseases)
        seen = {disease for line in by_treatment[key] for row in line.evidence.rows for disease in row.diseases}
        if missing := [disease for disease in named if disease not in seen]:
            empty.append((each, missing))
    everywhere = {disease for row in knowledge.studies for disease in row.diseases}
    return Gaps(
        without_data=[line for line in lines if not line.evidence.studies],
        single_cases_only=[line for line in lines if "single cases only" in line.flags],
        empty_types=[
            (each, found)
            for key, each in treatments.items()
            if (found := [line.type for line in by_treatment[key] if line.stances and not line.evidence.rows])
        ],
        empty_diseases=empty,
        diseases_without_rows=[disease for disease in knowledge.diseases if disease not in everywhere],
    )


# --- the rows as a file ----------------------------------------------------------------------------

SOURCE_COLUMNS: Final = ("source_authors", "source_year", "source_title", "source_journal", "source_pmid", "source_doi", "source_url")


def write_csv(rows: Sequence[Study], knowledge: Knowledge, path: Path) -> int:
    """The rows with the columns of the content, and the reference of each. Returns how many."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        return write_rows(rows, knowledge, stream)


def write_rows(rows: Sequence[Study], knowledge: Knowledge, stream: TextIO) -> int:
    """The same to an open stream."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*Study.model_fields, *SOURCE_COLUMNS])
    writer.writerows([*_cells(row), *_source_cells(knowledge.sources[row.study])] for row in rows)
    return len(rows)


def _cells(row: Study) -> Iterator[str]:
    for name in Study.model_fields:
        value = getattr(row, name)
        if isinstance(value, tuple):
            yield ";".join(value)
        elif isinstance(value, bool):
            yield str(value).lower()
        else:
            yield "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _source_cells(source: Source) -> tuple[str, ...]:
    named = (source.authors, source.year, source.title, source.journal, source.pmid, source.doi)
    return (*("" if value is None else str(value) for value in named), citation(source)[1])
