"""Side by side: our reader, medspaCy and negspacy on the same sentences; how many they judge right, and how fast.

    python benchmarks/text_readers.py [--negex-set FILE] [--seconds 2]

The peers are not dependencies of the project: install them into an environment of their own and run this file with its Python
(``PYTHONPATH=src``); what cannot be imported is skipped with a message. ``--negex-set`` takes the physicians' annotations that the
authors of NegEx published for this purpose (``rsAnnotations-1-120-random.txt`` in github.com/chapmanbe/negex; not part of this
repository). Only counts are printed, never a text.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

PROBES = Path(__file__).parents[1] / "tests" / "sources" / "context_probes.yaml"
Judge = Callable[[str, str, str, int], str | None]  # (text, context, concept, offset wanted or -1) -> certainty


class Probe(NamedTuple):
    category: str
    context: str
    text: str
    concept: str
    certainty: str
    at: int = -1


def probes() -> tuple[dict[str, list[str]], list[Probe]]:
    content = yaml.safe_load(PROBES.read_text(encoding="utf-8"))
    return content["concepts"], [Probe(category, *row) for category, rows in content["probes"].items() for row in rows]


def negex_set(path: Path) -> tuple[dict[str, list[str]], list[Probe]]:
    """One concept per annotated phrase; the annotated occurrence is the one in capitals."""
    concepts: dict[str, str] = {}
    rows: list[Probe] = []
    for line in path.read_text(encoding="latin-1").splitlines():
        _, _, phrase, text, negation, *_ = (re.sub(r"\s+", " ", field).strip().strip('"') for field in line.split("\t"))
        key = concepts.setdefault(phrase.lower(), f"c{len(concepts)}")
        rows.append(Probe(negation, "note", text, key, "negated" if negation == "Negated" else "affirmed", text.find(phrase.upper())))
    return {key: [phrase] for phrase, key in concepts.items()}, rows


def ours(concepts: Mapping[str, Sequence[str]]) -> Judge:
    from calcinosis.knowledge.model import Concept, Context
    from calcinosis.sources.text import TextReader

    reader = TextReader(Concept(key=key, label=key, kind="finding", synonyms=tuple(names)) for key, names in concepts.items())

    def judge(text: str, context: str, concept: str, at: int) -> str | None:
        found = [mention for mention in reader._read(text, Context(context)).mentions if mention.concept == concept]
        return _chosen(((mention.start, mention.end, mention.certainty) for mention in found), at)

    return judge


def medspacy(concepts: Mapping[str, Sequence[str]]) -> Judge:
    from loguru import logger

    logger.disable("PyRuSH")  # it would log the text
    import medspacy
    from medspacy.target_matcher import TargetRule

    nlp: Any = medspacy.load()
    nlp.get_pipe("medspacy_target_matcher").add([TargetRule(name, key) for key, names in concepts.items() for name in names])

    def certainty(span: Any) -> str:
        if span._.is_family:
            return "family"
        if span._.is_negated:
            return "negated"
        return "uncertain" if span._.is_uncertain or span._.is_hypothetical else "affirmed"

    def judge(text: str, _context: str, concept: str, at: int) -> str | None:
        return _chosen(((e.start_char, e.end_char, certainty(e)) for e in nlp(text).ents if e.label_ == concept), at)

    return judge


def negspacy(concepts: Mapping[str, Sequence[str]]) -> Judge:
    import spacy
    from negspacy.negation import Negex  # noqa: F401 (registers the component)

    nlp: Any = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    ruler = nlp.add_pipe("entity_ruler", config={"phrase_matcher_attr": "LOWER"})
    ruler.add_patterns([{"label": key, "pattern": name} for key, names in concepts.items() for name in names])
    nlp.add_pipe("negex")

    def judge(text: str, _context: str, concept: str, at: int) -> str | None:
        found = ((e.start_char, e.end_char, "negated" if e._.negex else "affirmed") for e in nlp(text).ents if e.label_ == concept)
        return _chosen(found, at)

    return judge


def _chosen(found: Iterable[tuple[int, int, str]], at: int) -> str | None:
    """The certainty at the wanted place; else the last one said."""
    mentions = list(found)
    here = [certainty for start, end, certainty in mentions if start <= at + 1 and at < end]
    return here[0] if here else mentions[-1][2] if mentions else None


def accuracy(judge: Judge, rows: Sequence[Probe], *, negation_only: bool) -> tuple[int, list[str]]:
    missed: list[str] = []
    for row in rows:
        said = judge(row.text, row.context, row.concept, row.at)
        right = (said == "negated") == (row.certainty == "negated") if negation_only else said == row.certainty
        if not right:
            missed.append(row.category)
    return len(rows) - len(missed), missed


def texts_per_second(judge: Judge, rows: Sequence[Probe], seconds: float) -> float:
    count, begun = 0, time.perf_counter()
    while (spent := time.perf_counter() - begun) < seconds:
        for row in rows[:50]:
            judge(row.text, row.context, row.concept, row.at)
        count += len(rows[:50])
        rows = [*rows[50:], *rows[:50]]
    return count / spent


def negation_scores(judge: Judge, rows: Sequence[Probe]) -> str:
    counts = {"tp": 0, "fp": 0, "fn": 0, "tn": 0}
    for row in rows:
        said, true = judge(row.text, row.context, row.concept, row.at) == "negated", row.certainty == "negated"
        counts[("tp" if true else "fp") if said else ("fn" if true else "tn")] += 1
    precision, recall = counts["tp"] / (counts["tp"] + counts["fp"]), counts["tp"] / (counts["tp"] + counts["fn"])
    right = (counts["tp"] + counts["tn"]) / len(rows)
    f = 2 * precision * recall / (precision + recall)
    return f"negated: precision {precision:.3f}, recall {recall:.3f}, F {f:.3f}; right {right:.3f} of {len(rows)}; {counts}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--negex-set", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)
    readers: dict[str, tuple[str, Callable[[Mapping[str, Sequence[str]]], Judge]]] = {
        "calcinosis": ("calcinosis", ours), "medspaCy": ("medspacy", medspacy), "negspacy": ("negspacy", negspacy),
    }  # fmt: skip
    for name, (package, build) in readers.items():
        if importlib.util.find_spec(package) is None:
            print(f"{name}: skipped, because the package {package!r} is not importable by this Python")
            continue
        concepts, rows = probes()
        judge = build(concepts)
        right, missed = accuracy(judge, rows, negation_only=False)
        negation, _ = accuracy(judge, rows, negation_only=True)
        speed = texts_per_second(judge, rows, options.seconds)
        print(f"{name}: probes right {right} of {len(rows)} (negated or not: {negation}); {speed:,.0f} texts/s")
        print("  missed by category:", {category: missed.count(category) for category in dict.fromkeys(missed)})
        if options.negex_set:
            concepts, rows = negex_set(options.negex_set)
            judge = build(concepts)
            print(f"  NegEx set: {negation_scores(judge, rows)}; {texts_per_second(judge, rows, options.seconds):,.0f} texts/s")


if __name__ == "__main__":
    main()
