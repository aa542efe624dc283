"""Reads free text into mentions of concepts: what is said, how surely, and where on the body.

Short texts are the common case (a condition's name, a report's conclusion), so they are remembered; the same string means the
same thing in a million rows. Nothing here logs or prints: a text may name a patient.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Final

from calcinosis.knowledge.model import Concept, Context
from calcinosis.sources.certainty import Match, certainty_of, over
from calcinosis.sources.company import Company
from calcinosis.sources.context import AND, ContextReader, Scope
from calcinosis.sources.context_rules import ContextRules, load_context_rules
from calcinosis.sources.ending_dates import EndingDateReader
from calcinosis.sources.form_marks import without_form_marks
from calcinosis.sources.headings import HeadingReader
from calcinosis.sources.lab_names import LabNameReader, Spelling
from calcinosis.sources.local_forms import LocalFormReader
from calcinosis.sources.names_alone import NameAloneReader
from calcinosis.sources.phrases import Hit, PatternMatcher, PhraseMatcher
from calcinosis.sources.presupposed import Presupposed
from calcinosis.sources.reading import Mention, Reading, once, together
from calcinosis.sources.report_parts import ReportParts
from calcinosis.sources.said_numbers import SaidNumber, SaidNumberReader
from calcinosis.sources.said_results import NOT_SAID, SaidResult, SaidResultReader
from calcinosis.sources.timing import LeadTimeReader
from calcinosis.sources.words import COMMA, Folded, Tokens, tokenise

__all__ = ["Mention", "Reading", "TextReader"]

REMEMBERED_TEXTS: Final = 1 << 16
LONGEST_REMEMBERED: Final = 500  # characters: longer texts hardly ever repeat
# ConText's grey words ("consistent with", "probable") state the finding where a report is concluded, and doubt it elsewhere
REPORTING: Final = frozenset({Context.IMAGING, Context.HISTOLOGY})
STATING_RESULTS: Final = frozenset({Context.NOTE, Context.OBSERVATION, Context.CONDITION})
# a longer name of one of these kinds is another thing of that kind: "calcium gluconate" is not "calcium"
EXCLUSIVE_KINDS: Final = frozenset({"disease", "lab", "drug", "procedure", "device", "allergy", "site"})
TIGHT: Final = 4  # words between those of a pattern, beyond which it no longer replaces a phrase it contains
_ENDING: Final = {"drug": {"taken_no_more"}, "finding": {"removed", "resolved"}, "disease": {"resolved"}}  # kind of concept -> what ends it


class _Vocabulary:
    """What one context may say."""

    def __init__(self, concepts: Iterable[Concept], context: Context, rules: ContextRules) -> None:
        here = [concept for concept in concepts if context in concept.reads_in]
        self.phrases = PhraseMatcher((phrase, concept.key) for concept in here for phrase in concept.synonyms)
        self.patterns = PatternMatcher((pattern, concept.key) for concept in here for pattern in concept.patterns)
        self.alone = NameAloneReader(((name, concept.key) for concept in here for name in concept.alone), context, rules.alone)
        self.company = Company(here, context, rules)


class TextReader:
    """Reads texts with the vocabulary of ``concepts``. One reader serves any number of threads and texts."""

    def __init__(self, concepts: Iterable[Concept]) -> None:
        self._concepts = {concept.key: concept for concept in concepts}
        self._lineage = {key: self._ancestors(key) for key in self._concepts}
        rules = load_context_rules()
        roots = set(rules.elsewhere_of.roots)
        self._may_lie_elsewhere = {key for key, above in self._lineage.items() if above & roots} | set(rules.elsewhere_of.concepts)
        self._ending_dates = EndingDateReader(rules.ending_dates)
        self._presupposed = Presupposed(
            rules.presupposed,
            rules.adjectives,
            self._may_lie_elsewhere,
            {key for key, above in self._lineage.items() if above & set(rules.presupposed.treatments)},
        )
        self._inner_sites, self._biopsied = set(rules.elsewhere_of.inner_sites), set(rules.elsewhere_of.biopsied)
        self._plain_context = ContextReader(rules, reporting_affirms=False)
        self._report_context = ContextReader(rules, reporting_affirms=True)
        self._headings = HeadingReader(rules.headings)
        self._report_parts = ReportParts(rules.report_headings)
        self._lead_time = LeadTimeReader(rules.relative_time)
        self.local_forms = LocalFormReader(rules.local_forms, self._lineage)
        self._vocabularies = {context: _Vocabulary(self._concepts.values(), context, rules) for context in Context}
        labs = [concept for concept in self._concepts.values() if concept.kind == "lab"]
        self._remembered = lru_cache(maxsize=REMEMBERED_TEXTS)(self._read)
        spelling = Spelling(rules.lab_names.spelled_out)
        self.lab_names = LabNameReader(labs, rules.lab_names, spelling)
        self._remembered_lab = lru_cache(maxsize=REMEMBERED_TEXTS)(self.lab_names.read)
        self._results = SaidResultReader(labs, rules.said_results, spelling)
        self._numbers = SaidNumberReader(labs, rules.said_results, rules.said_numbers, spelling)

    def __reduce__(self) -> tuple[type[TextReader], tuple[list[Concept]]]:
        """For engines that send readers to their workers: the vocabulary travels, what was made of it is made again."""
        return TextReader, (list(self._concepts.values()),)

    def read(self, text: str, context: Context) -> Reading:
        """What ``text`` says when it stands in ``context``."""
        return self._remembered(text, context) if len(text) <= LONGEST_REMEMBERED else self._read(text, context)

    def is_of_organ(self, concept: str, sites: Collection[str]) -> bool:
        """Whether what may be of the skin is that of an inner organ: the report of a biopsy of these sites says it."""
        return concept in self._may_lie_elsewhere and bool(sites) and self._biopsied.issuperset(sites)

    def name_of_lab(self, text: str) -> str | None:
        """The laboratory concept whose name is the whole of ``text``, specimen and "level" aside."""
        return self._remembered_lab(text) if len(text) <= LONGEST_REMEMBERED else None

    def _read(self, text: str, context: Context) -> Reading:
        text = without_form_marks(text)
        parts = self._report_parts.split(text) if context in REPORTING else None
        if parts is not None:
            clinical, rest = parts
            return together(self._read(rest, context), self._read(clinical, Context.NOTE))
        tokens = tokenise(text)
        words = tokens.words
        vocabulary = self._vocabularies[context]
        hits = dict.fromkeys([*vocabulary.phrases.hits(words), *vocabulary.alone.hits(words)])
        found = [Match(low, high, range(low, high), self._concepts[key], True) for low, high, key in hits]
        phrases = self._as_applied(self._longest(vocabulary.company.with_words_beside(found, words)), words)
        inside = {at: match for match in phrases for at in match.positions}
        reader = self._report_context if context in REPORTING else self._plain_context
        limits = reader.limits(words)
        clauses = reader.clauses(words, limits, inside.__contains__)
        matches = phrases + vocabulary.company.with_words_beside(self._patterns(vocabulary, reader, words, clauses, phrases), words)
        matches = [
            match if (other := vocabulary.company.other(match, words, clauses)) is None else match._replace(concept=other)
            for match in matches
        ]
        lead_time = self._lead_time.read(words, clauses)
        sections = self._headings.scopes(text, tokens, clauses)
        stated = self._stated(text, tokens, reader, clauses, limits, sections) if context in STATING_RESULTS else ((), (), 0)
        if not matches:
            return Reading((), (), lead_time, *stated)
        scopes = reader.scopes(words, clauses, limits, sorted({at for match in matches for at in match.positions}))
        scopes = sorted([*(_kept_inside(scope, inside) for scope in scopes), *sections], key=lambda scope: scope.start)
        begins = [scope.start for scope in scopes]
        sites_at = sorted(match.start for match in matches if match.concept.kind == "site" and match.concept.key not in self._inner_sites)
        granted = self._presupposed.in_text(matches, words)
        said = [
            (match, certainty)
            for match in matches
            if (certainty := certainty_of(match, matches, scopes, begins, granted))
            and not self._lies_elsewhere(match, scopes, begins, sites_at)
        ]
        if len(matches) > len(phrases):
            said = self._without_parts(said)
        said.sort(key=lambda pair: (pair[0].start, pair[0].end, pair[0].concept.key))
        sites_of = _sites_by_match(said, words, clauses)
        mentions = tuple(
            Mention(
                match.concept.key, certainty, sites_of(match, certainty),
                text[tokens.starts[match.start] : tokens.ends[match.end - 1]], tokens.starts[match.start], tokens.ends[match.end - 1],
                *self._ending(match, scopes, begins, words),
            )
            for match, certainty in said
            if match.concept.kind != "site"
        )  # fmt: skip
        sites = dict.fromkeys(match.concept.key for match, certainty in said if match.concept.kind == "site" and certainty == "affirmed")
        return Reading(mentions, tuple(sites), lead_time, *stated)

    def _stated(
        self,
        text: str,
        tokens: Tokens,
        reader: ContextReader,
        clauses: Sequence[tuple[int, int]],
        limits: Sequence[Hit[str]],
        sections: Sequence[Scope],
    ) -> tuple[tuple[SaidResult, ...], tuple[SaidNumber, ...], int]:
        """The laboratory results of a text in words, in numbers, and how many lack a unit; nothing that is a relative's, doubted, or of
        another day. What is said in both is said once."""
        words = self._results.read(tokens.words, clauses)
        numbers = self._numbers.read(text, tokens, clauses)
        if not words and not numbers.values:
            return (), (), numbers.without_unit
        at = {start: place for place, start in enumerate(tokens.starts)}
        spans = [(one.start, one.end) for one in words] + [(at[one.start], bisect_left(tokens.starts, one.end)) for one in numbers.values]
        named = sorted({place for span in spans for place in range(*span)})
        scopes = [*reader.scopes(tokens.words, clauses, limits, named), *sections]
        doubted = [scope for scope in scopes if scope.effect in NOT_SAID]
        stands = [not any(scope.start < end and start < scope.end for scope in doubted) for start, end in spans]
        results = [
            one._replace(start=tokens.starts[one.start], end=tokens.ends[one.end - 1])
            for one, said in zip(words, stands[: len(words)], strict=True)
            if said
        ]
        return *once(results, [one for one, said in zip(numbers.values, stands[len(words) :], strict=True) if said]), numbers.without_unit

    def _ending(
        self, match: Match, scopes: Sequence[Scope], begins: Sequence[int], words: Sequence[Folded]
    ) -> tuple[bool, datetime | None]:
        """Whether what is said has ended, and on which day at the latest."""
        endings = [scope for scope in over(match, scopes, begins) if scope.effect in _ENDING.get(match.concept.kind, ())]
        said = range(match.start, match.end)
        days = [self._ending_dates.last_day(words, range(scope.cue_start, scope.cue_end), said) for scope in endings]
        return bool(endings), max((day for day in days if day), default=None)

    def _lies_elsewhere(self, match: Match, scopes: Sequence[Scope], begins: Sequence[int], sites_at: Sequence[int]) -> bool:
        """Whether a lump, an ulcer, a necrosis or calcified vessels are those of an inner organ: its name stands nearer than any site."""
        if match.concept.key not in self._may_lie_elsewhere:
            return False
        organs = [scope for scope in over(match, scopes, begins) if scope.effect == "elsewhere"]
        if not organs:
            return False
        distance = min(max(scope.cue_start - match.end + 1, match.start - scope.cue_end + 1) for scope in organs)
        near = sites_at[bisect_left(sites_at, match.start - distance) : bisect_left(sites_at, match.end + distance)]
        return not any(not any(scope.cue_start <= at < scope.cue_end for scope in organs) for at in near)

    # --- which of several overlapping matches stand --------------------------------------------------

    def _ancestors(self, key: str) -> frozenset[str]:
        """The concept and everything above it."""
        found: set[str] = set()
        queue = [key]
        while queue:
            key = queue.pop()
            if key not in found:
                found.add(key)
                queue += self._concepts[key].parents if key in self._concepts else ()
        return frozenset(found)

    def _related(self, shorter: Concept, longer: Concept) -> bool:
        if shorter.kind == "lab" or (shorter.kind == longer.kind and shorter.kind in EXCLUSIVE_KINDS):
            return True
        return not self._lineage[shorter.key].isdisjoint(self._lineage[longer.key])

    def _rivals(self, part: Concept, whole: Concept) -> bool:
        """Whether the whole shows the part, or all that the two share are roots without words."""
        common = self._lineage[part.key] & self._lineage[whole.key]
        return part.key in common or (bool(common) and not any(self._has_words(key) for key in common))

    def _has_words(self, key: str) -> bool:
        concept = self._concepts.get(key)
        return concept is not None and bool(concept.synonyms or concept.patterns)

    def _longest(self, matches: list[Match]) -> list[Match]:
        """Among overlapping matches of related concepts the longest stands; equal stretches keep all their concepts."""
        if len(matches) < 2:
            return matches
        matches.sort(key=lambda match: (match.start - match.end, match.start))
        owners: dict[int, list[Match]] = {}
        kept: list[Match] = []
        for match in matches:
            length = match.end - match.start
            rivals = [other for at in match.positions if at in owners for other in owners[at] if other.end - other.start > length]
            if not any(self._related(match.concept, other.concept) for other in rivals):
                kept.append(match)
                for at in match.positions:
                    owners.setdefault(at, []).append(match)
        return kept

    def _as_applied(self, matches: list[Match], words: list[Folded]) -> list[Match]:
        """A drug that the text applies to skin, eye or ear as its local form."""
        if not any(match.concept.kind == "drug" for match in matches):
            return matches
        places = self.local_forms.places(words)
        if not places:
            return matches
        return [
            match._replace(concept=self._concepts.get(self.local_forms.counts_as(match.concept.key), match.concept))
            if match.concept.kind == "drug" and self.local_forms.is_local(match.start, match.end, words, places)
            else match
            for match in matches
        ]

    def _patterns(
        self,
        vocabulary: _Vocabulary,
        reader: ContextReader,
        words: list[Folded],
        clauses: Sequence[tuple[int, int]],
        phrases: list[Match],
    ) -> list[Match]:
        """Pattern matches: each concept within a comma-separated piece if it can be, else over pieces that run on."""
        places = vocabulary.patterns.places(words)
        if not places:
            return []
        found: dict[tuple[str, tuple[int, ...]], Match] = {}
        for clause in clauses:
            settled: dict[str, tuple[int, int]] = {}
            for start, end in reader.statements(words, clause):
                for hit in vocabulary.patterns.hits(places, start, end):
                    before = settled.setdefault(hit.payload, (start, end))
                    if not (start <= before[0] and before[1] <= end and before != (start, end)):
                        places_of = hit.positions
                        found[hit.payload, places_of] = Match(
                            places_of[0], places_of[-1] + 1, places_of, self._concepts[hit.payload], False
                        )
        by_place: dict[int, list[Match]] = defaultdict(list)
        for match in phrases:
            for at in match.positions:
                by_place[at].append(match)
        return [match for match in found.values() if not self._masked(match, by_place) and not self._said_by_phrase(match, by_place)]

    def _masked(self, match: Match, by_place: dict[int, list[Match]]) -> bool:
        """Whether a word of the pattern belongs to a name of something else: the necrosis of "tumour necrosis factor"."""
        return not match.concept.masks and any(
            phrase.concept.masks and phrase.end - phrase.start > 1 and self._related(match.concept, phrase.concept)
            for at in match.positions
            for phrase in by_place.get(at, ())
        )

    def _said_by_phrase(self, match: Match, by_place: dict[int, list[Match]]) -> bool:
        """Whether a phrase already says this concept here, or holds the whole pattern and says something narrower."""
        for at in match.positions:
            for phrase in by_place.get(at, ()):
                if phrase.concept.key == match.concept.key:
                    return True
                if match.concept.key in self._lineage[phrase.concept.key] and phrase.start <= match.start and match.end <= phrase.end:
                    return True
        return False

    def _without_parts(self, said: list[tuple[Match, str]]) -> list[tuple[Match, str]]:
        """Drops what a pattern says more exactly: "calcification" where "calcification of the vessels" was read, equally sure.

        Only under a root with no words of its own, where one of the two must be meant: "hard mass" is hard, and a mass.
        """
        patterns: dict[int, list[tuple[Match, str]]] = defaultdict(list)
        for match, certainty in said:
            for at in () if match.is_phrase else match.positions:
                patterns[at].append((match, certainty))

        def is_part(part: Match, certainty: str) -> bool:
            for whole, whole_certainty in patterns.get(part.start, ()):
                if whole is part or certainty != whole_certainty or len(part.positions) >= len(whole.positions):
                    continue
                tight = whole.end - whole.start <= len(whole.positions) + TIGHT
                narrower = whole.concept.key in self._lineage[part.concept.key]
                if tight and not narrower and set(part.positions) < set(whole.positions) and self._rivals(part.concept, whole.concept):
                    return True
            return False

        return [(match, certainty) for match, certainty in said if not is_part(match, certainty)]


def _kept_inside(scope: Scope, phrases: Mapping[int, Match]) -> Scope:
    """A cue that belongs to a phrase says nothing beyond it: "absent pulses, ulcers" denies no ulcers."""
    phrase = phrases.get(scope.cue_start)
    if phrase is None or scope.cue_end > phrase.end or (scope.effect == "elsewhere" and phrase.concept.kind == "site"):
        return scope
    return scope._replace(start=max(scope.start, phrase.start), end=min(scope.end, phrase.end))


def _sites_by_match(
    said: Sequence[tuple[Match, str]], words: Sequence[Folded], clauses: Sequence[tuple[int, int]]
) -> Callable[[Match, str], tuple[str, ...]]:
    """Shares out the sites of each clause among its mentions.

    Mentions and sites of a clause belong together, until a piece (between commas, "and", "with") brings a mention *and* a site
    of its own: "calcinosis of the elbows and knees, ulcers on the toes".
    """
    if not any(match.concept.kind == "site" for match, _ in said):
        return lambda _match, _certainty: ()
    groups: list[list[tuple[str, str]]] = []  # (site, certainty) of each group
    starts = [match.start for match, _ in said]
    group_at: dict[int, int] = {}  # first word of a mention -> its group
    for low, high in clauses:
        here = said[bisect_left(starts, low) : bisect_left(starts, high)]
        cuts = [at for at in range(low, high) if words[at][0] == COMMA or words[at][0] in AND or words[at][0] == "with"]
        has_mention = has_site = False
        groups.append([])
        for start, end in zip([low, *cuts], [*cuts, high], strict=True):
            piece = [(match, certainty) for match, certainty in here if start <= match.start < end]
            mentions = [match for match, _ in piece if match.concept.kind != "site"]
            sites = [(match.concept.key, certainty) for match, certainty in piece if match.concept.kind == "site"]
            if mentions and sites and has_mention and has_site:
                groups.append([])
                has_mention = has_site = False
            has_mention, has_site = has_mention or bool(mentions), has_site or bool(sites)
            groups[-1] += sites
            group_at.update((match.start, len(groups) - 1) for match in mentions)

    def sites_of(match: Match, certainty: str) -> tuple[str, ...]:
        group = groups[group_at[match.start]] if match.start in group_at else []
        return tuple(dict.fromkeys(site for site, how in group if certainty == "negated" or how != "negated"))

    return sites_of
