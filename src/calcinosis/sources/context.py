"""Which words of a text are denied, doubted, or about somebody else.

The method is NegEx (Chapman 2001, doi 10.1006/jbin.2001.1029) as widened by ConText (Harkema 2009,
doi 10.1016/j.jbi.2009.05.002): a cue word opens a scope forwards or backwards, which ends at the clause, at a terminator or at
the next statement. Two things are added, because short record texts are lists: a comma ends a scope when a new statement
follows it, and a cue behind a colon answers what stands before it. The words themselves are data: ``context_rules.yaml``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from calcinosis.sources.context_rules import DIRECTIONS, ContextRules, Cues, Direction, Effect
from calcinosis.sources.ending_dates import with_any_year
from calcinosis.sources.phrases import Hit, PhraseMatcher
from calcinosis.sources.words import CLOSE, COLON, COMMA, DASH, DOUBT, ENDS, MARKS, OPEN, QUERY, Folded, folded

AND: Final = frozenset({"and", "plus"})
OR: Final = frozenset({"or", "nor", "versus", "vs"})
COPULAS: Final = frozenset({"is", "are", "was", "were"})
ASKING: Final = COPULAS | {"has", "have", "had", "does", "do", "did", "could", "can", "should", "would", "any"}  # open a question
TREATED: Final = frozenset({"treated", "given", "taking"})  # behind a comma, still of the one before it
HISTORY: Final = frozenset({"history", "hx", "fhx"})
CONDITION: Final = "if"
RELATIVE: Final = frozenset({"which", "that"})
# these open what is said in passing, and those go on behind it
ASIDES: Final = frozenset({"who", "whom", "whose", "as", "now", "aged", "also", "a", "an", "herself", "himself", "then", "both"})
AUXILIARIES: Final = COPULAS | {"has", "have", "had", "been", "be"}
GOING_ON: Final = AUXILIARIES | {"died", "suffers", "suffered", "developed", "takes", "took", "received", "needed", "lost"}
PERSONS: Final = frozenset({"patient", "he", "she", "who", "his", "her", "they", "i", "we", "pt", "man", "woman", "boy", "girl"})
NEAR: Final = 6  # words behind the name of a place
# effects that pass a comma only inside a list
_SHORT_OF_A_COMMA: Final = frozenset[Effect]({"uncertain", "looked_for", "asked_about", "topic", "prevented", "companion"})
LIST: Final = 40  # words within which a list must come to its "or"
LONGEST_CLAUSE: Final = 200  # words; more is a table or a list without full stops, and is read in parts


class Cue(NamedTuple):
    effect: Effect
    direction: Direction


class Scope(NamedTuple):
    """Words ``start..end`` stand under ``effect``, because of the cue at ``cue_start..cue_end``."""

    effect: Effect
    start: int
    end: int
    cue_start: int
    cue_end: int


def _cues(rules: ContextRules, reporting_affirms: bool) -> Iterator[tuple[str, Cue]]:
    effects: tuple[tuple[Cues, Effect], ...] = (
        (rules.negation, "negated"), (rules.spared, "spared"), (rules.uncertainty, "uncertain"), (rules.hypothetical, "uncertain"),
        (rules.reporting, "none" if reporting_affirms else "uncertain"), (rules.family, "family"),
        (rules.companion, "companion"), (rules.silent, "silent"),
        (rules.not_taken, "not_taken"), (rules.taken_no_more, "taken_no_more"),
        (rules.still_suspected, "still_suspected"), (rules.looked_for, "looked_for"), (rules.asked_about, "asked_about"),
        (rules.considered, "considered"), (rules.allergy_list, "allergy_list"),
        (rules.prevented, "prevented"),
        (rules.topic, "topic"), (rules.removed, "removed"),
        (rules.resolved, "resolved"), (rules.taken_out, "taken_out"), (rules.planned, "planned"),
        (rules.elsewhere, "elsewhere"),
    )  # fmt: skip
    for cues, effect in effects:
        for direction in DIRECTIONS:
            for phrase in getattr(cues, direction):
                yield phrase, Cue(effect, direction)
    for phrase in (*rules.pseudo_negation, *rules.pseudo_family, *rules.historical, *rules.pseudo_removed):
        yield phrase, Cue("none", "before")


class ContextReader:
    """Finds the clauses of a text and the scopes in them."""

    def __init__(self, rules: ContextRules, *, reporting_affirms: bool) -> None:
        self._cues = PhraseMatcher(_cues(rules, reporting_affirms))
        kinds = {
            "clause_break": rules.clause_breaks, "terminator": rules.terminators,
            "family_terminator": rules.family_terminators, "companion_terminator": rules.companion_terminators,
            "next_drug": rules.next_drug,
        }  # fmt: skip
        self._limits = PhraseMatcher((phrase, kind) for kind, phrases in kinds.items() for phrase in phrases)
        self._openers = folded(rules.openers)
        self._weak_openers = folded(rules.weak_openers)
        self._denies = folded(rules.denying)
        self._list_heads = folded(rules.list_heads)
        self._not_over_yet = folded(rules.not_over_yet)
        self._taken_up_again = folded(rules.taken_up_again)
        self._confirming = folded(rules.confirming)
        self._concluding = folded(rules.concluding)
        self._specifics, self._colours, self._placing = folded(rules.specifics), folded(rules.colours), folded(rules.placing)
        self._going_on = folded(rules.going_on)
        self._affirming = folded(rules.affirming)
        self._continuers = folded(rules.continuers)
        self._adjectives = folded(rules.adjectives)
        self._linking = folded(rules.linking)
        self._no_places = folded(rules.elsewhere_of.no_places)

    def limits(self, words: Sequence[Folded]) -> list[Hit[str]]:
        """The words that end clauses and scopes."""
        return self._limits.hits(words)

    def clauses(self, words: Sequence[Folded], limits: Sequence[Hit[str]], taken: Callable[[int], bool]) -> list[tuple[int, int]]:
        """Stretches between full stops, semicolons, lines, and words such as *but* (unless a mention contains the word)."""
        cuts = [(at, at + 1) for at, word in enumerate(words) if word[0] in ENDS]
        cuts += [(hit.start, hit.end) for hit in limits if hit.payload == "clause_break" and not taken(hit.start)]
        clauses, start = [], 0
        for low, high in sorted(cuts):
            # a final question mark belongs to its clause: it is a cue
            if words[low][0] in ENDS and words[low][0] != ".":
                low += 1
            if low > start:
                clauses.append((start, low))
            start = max(start, high)
        if start < len(words):
            clauses.append((start, len(words)))
        if all(high - low <= LONGEST_CLAUSE for low, high in clauses):
            return clauses
        return [(at, min(at + LONGEST_CLAUSE, high)) for low, high in clauses for at in range(low, high, LONGEST_CLAUSE)]

    def statements(self, words: Sequence[Folded], clause: tuple[int, int]) -> list[tuple[int, int]]:
        """Where the words of a pattern may stand together: the pieces between commas, then those that run on over a comma.

        A piece runs on when it opens with a continuer, when the comma stands between two adjectives ("hard, white papules"), when it
        closes a short list ("skin, muscle and vessels"), or when the clause opened with where ("in the vessel walls, calcification").
        Otherwise "calcification of the skin, vascular disease" would be read as calcified vessels.
        """
        low, high = clause
        commas = [at for at in range(low, high) if words[at][0] == COMMA]
        if not commas:
            return [clause]
        pieces = list(zip([low, *(at + 1 for at in commas)], [*commas, high], strict=True))
        runs: list[tuple[int, int]] = []
        joined = {k for k, piece in enumerate(pieces) if k and self._runs_on(words, pieces, k)}
        start = 0
        for k in range(1, len(pieces) + 1):
            if k not in joined:
                if k - start > 1:
                    runs.append((pieces[start][0], pieces[k - 1][1]))
                start = k
        return pieces + runs

    def _runs_on(self, words: Sequence[Folded], pieces: Sequence[tuple[int, int]], k: int) -> bool:
        start, end = pieces[k]
        if start >= end:
            return True
        if words[start][0] in self._continuers or (k == 1 and words[pieces[0][0]][0] in self._continuers):
            return True
        if start > 1 and words[start][0] in self._adjectives and words[start - 2][0] in self._adjectives:
            return True
        if end - start == 1:  # an item of a list that closes with "and"
            return k + 1 < len(pieces) and self._runs_on(words, pieces, k + 1)
        return end - start <= 4 and any(words[at][0] in AND or words[at][0] in OR for at in range(start + 1, end))

    def scopes(
        self, words: Sequence[Folded], clauses: Sequence[tuple[int, int]], limits: Sequence[Hit[str]], mentions: Sequence[int]
    ) -> list[Scope]:
        """All scopes of a text; none is longer than a clause.

        ``mentions`` are the ascending positions of words that belong to a mention.
        """
        cues = self._cues.longest(with_any_year(words))
        if not cues or not mentions:
            return []
        view = _View(
            words,
            mentions,
            # an organ opens no statement: "no lupus, coronary disease"
            cue_starts={hit.start for hit in cues if hit.payload.direction != "near"},
            telling_cues={hit.start for hit in cues if hit.payload.effect != "none"},
            terminators={hit.start for hit in limits if hit.payload == "terminator"},
            family_terminators={hit.start for hit in limits if hit.payload == "family_terminator"},
            companion_terminators={hit.start for hit in limits if hit.payload == "companion_terminator"},
            next_drug={hit.start for hit in limits if hit.payload == "next_drug"},
            openers=self._openers,
            weak_openers=self._weak_openers,
            denies=self._denies,
            list_heads=self._list_heads,
            not_over_yet=self._not_over_yet,
            taken_up_again=self._taken_up_again,
            confirming=self._confirming,
            concluding=self._concluding,
            affirming=self._affirming,
            linking=self._linking,
            no_places=self._no_places,
            specifics=self._specifics,
            colours=self._colours,
            placing=self._placing,
            going_on=self._going_on,
        )
        found: list[Scope] = []
        clause = iter(clauses)
        before, (low, high) = 0, next(clause, (0, 0))
        for hit in cues:
            while hit.start >= high and (following := next(clause, None)):
                before, (low, high) = low, following
            if hit.payload.effect != "none" and low <= hit.start < high:
                if hit.payload.effect == "still_suspected":  # it speaks of the clause before as well
                    found.append(Scope("still_suspected", before, high, hit.start, hit.end))
                else:
                    found += view.scopes_of(hit, low, high)
        return found


class _View(NamedTuple):
    """One text, with all that a scope may stop at."""

    words: Sequence[Folded]
    mentions: Sequence[int]
    cue_starts: set[int]
    telling_cues: set[int]  # those that change a certainty
    terminators: set[int]
    family_terminators: set[int]
    companion_terminators: set[int]
    next_drug: set[int]
    openers: frozenset[str]
    weak_openers: frozenset[str]
    denies: frozenset[str]
    list_heads: frozenset[str]
    not_over_yet: frozenset[str]
    taken_up_again: frozenset[str]
    confirming: frozenset[str]
    concluding: frozenset[str]
    affirming: frozenset[str]
    linking: frozenset[str]
    no_places: frozenset[str]
    specifics: frozenset[str]
    colours: frozenset[str]
    placing: frozenset[str]
    going_on: frozenset[str]

    def scopes_of(self, hit: Hit[Cue], low: int, high: int) -> Iterator[Scope]:
        effect, direction = hit.payload
        asks = self.words[hit.start][0] == DOUBT and self.words[low][0] in ASKING
        if asks and self._piece_end(low, hit.start) == hit.start:  # "Was calciphylaxis seen?", but not "Has ulcers, infected?"
            yield Scope(effect, low, hit.start, hit.start, hit.end)
            return
        if direction == "touching" and effect == "taken_no_more" and hit.end < high and self.words[hit.end][0][0].isdigit():
            return  # "prednisolone -> 10 mg" is another dose
        if self._not_over(hit, low, high):
            return
        if effect == "resolved" and self.words[hit.start][0] in MARKS and not self._piece_ends(hit.end, high):
            return  # "calciphylaxis, healed ulcers of the left leg"
        if direction == "touching":  # the last word is enough to reach the whole mention, and no other
            yield Scope(effect, max(low, hit.start - 1), hit.start, hit.start, hit.end)
            return
        if direction == "near":
            if hit.end < high and self.words[hit.end][0] in self.no_places:
                return
            yield Scope(effect, self._linked_before(low, hit.start), self._linked_after(hit.end, high), hit.start, hit.end)
            return
        if direction == "list_after":  # "calciphylaxis, vasculitis, warfarin necrosis: none supported"
            if hit.start > low and self.words[hit.start - 1][0] in (COLON, DASH):
                yield Scope(effect, low, hit.start, hit.start, hit.end)
            return
        heads = effect == "uncertain" and hit.start == low and hit.end < high and self.words[hit.end][0] == COMMA
        if direction in ("after_or_before", "list") and heads:  # "in the differential, calciphylaxis and vasculitis"
            start, end = self._forward(hit.end + 1, high, effect, True)
            yield Scope(effect, start, end, hit.start, hit.end)
            return
        ways = self._ways(hit, low, high)
        if self.words[hit.start][0] == CONDITION and hit.start > low:  # "dialysis if the urine stops" is none yet
            yield Scope("planned", hit.start - 1, hit.start, hit.start, hit.end)
        if effect == "allergy_list" and hit.start > low and self.words[hit.start][1] == "allergy":  # "warfarin allergy: rash"
            yield Scope("not_taken", hit.start - 1, hit.start, hit.start, hit.end)
        if "before" in ways:
            start, end = self._forward(hit.end, high, effect, direction == "list")
            yield Scope(effect, start, end, hit.start, hit.end)
            if start > hit.end:  # what was said in passing is theirs as well
                yield Scope(effect, hit.end, start, hit.start, hit.end)
        if "after" in ways:
            start = self._backward(low, hit.start, self._piece_ends(hit.end, high), effect)
            yield Scope(effect, start, hit.start, hit.start, hit.end)

    def _not_over(self, hit: Hit[Cue], low: int, high: int) -> bool:
        """ "Healed in 2020, recurred last month", "dressings until it has healed", "warfarin was held, then resumed"."""
        effect, before, behind = hit.payload.effect, range(low, hit.start), range(hit.end, high)
        if effect == "resolved":
            sentence = range(hit.end, next((k for k in range(hit.end, len(self.words)) if self.words[k][0] in ENDS), len(self.words)))
            goes_on = any(self.words[k][0] in self.going_on and k - 1 not in self.telling_cues for k in sentence)
            return goes_on or any(self.words[k][0] in self.not_over_yet for k in before)
        return effect == "taken_no_more" and any(self.words[k][0] in self.taken_up_again for k in behind)

    def _ways(self, hit: Hit[Cue], low: int, high: int) -> tuple[Literal["before", "after"], ...]:
        """Whether the cue stands before what it is about, after it, or between the two."""
        effect, direction = hit.payload
        if direction in ("before", "list"):
            # "pain: no", "Raynaud (no)", "knees no": the cue ends its piece and answers what stands before it
            alone = self._piece_ends(hit.end, high) or (self.words[hit.start - 1][0] == DASH and self.words[hit.end][0] == COLON)
            answer = hit.start > low and alone and self._answers(hit.start - 1, low)
            return ("after",) if answer else ("before",)
        if direction == "before_or_after":
            start, end = self._forward(hit.end, high, effect, False)
            return ("before",) if self._mention_between(start, min(end, self._piece_end(start, high))) else ("after",)
        if direction == "after_or_before":
            return ("before",) if self._opens_piece(hit.start, low) and not self._piece_ends(hit.end, high) else ("after",)
        if direction == "after":
            return ("before",) if hit.start == low else ("after",)
        return ("before", "after")

    def _linked_before(self, low: int, end: int) -> int:
        """ "Necrotic nodules in the upper lobe of the lung": back over words that only link, to the mention and those joined to it."""
        at = end - 1
        while at >= low and (self.words[at][0] in self.linking or self.words[at][0][0].isdigit()):
            at -= 1
        while at >= low and self._mention_between(at, at + 1):
            at -= 1
            if at > low and (self.words[at][0] in AND or self.words[at][0] in OR) and self._mention_between(at - 1, at):
                at -= 1
        return at + 1

    def _linked_after(self, start: int, high: int) -> int:
        """ "The adrenal gland, which appeared necrotic", "lung: two nodules": as far as a few words, and no other statement."""
        for at in range(start, min(high, start + NEAR)):
            word = self.words[at][0]
            new = word in AND or word in OR or word in PERSONS or word == "with" or at in self.terminators
            if new or (word in MARKS and word != COLON):
                return at
        return min(high, start + NEAR)

    def _answers(self, before: int, low: int) -> bool:
        if self.words[before][0] == CLOSE:  # "digital ulcers (current) no"
            while before > low and self.words[before][0] != OPEN:
                before -= 1
            before -= 1
        return before >= low and (self.words[before][0] in (COLON, DASH, OPEN) or self._mention_between(before, before + 1))

    def _piece_ends(self, at: int, high: int) -> bool:
        return at >= high or self.words[at][0] in (COMMA, CLOSE, *ENDS)

    def _piece_end(self, at: int, high: int) -> int:
        return next((k for k in range(at, high) if self.words[k][0] == COMMA), high)

    def _opens_piece(self, at: int, low: int) -> bool:
        before = self.words[at - 1][0] if at > low else COMMA
        if before in MARKS:
            return before not in (COLON, DASH, OPEN)
        return before in AND or (before in self.openers and before not in COPULAS)

    def _new_statement(self, at: int, high: int) -> bool:
        """Whether a statement of its own starts at ``at``, behind a comma or an "and"."""
        if at < high and self.words[at][0] in AND:
            at += 1
        if at < high and self.words[at][0] in self.weak_openers:
            return True
        return at < high and (at in self.cue_starts or self.words[at][0] in self.openers or self.words[at][0].isdigit())

    def _goes_on_denying(self, cue_end: int, comma: int, high: int) -> bool:
        """Whether the item behind a comma belongs to a list that is denied as a whole: "denies fever, black toes"."""
        item = comma + 1
        if item >= high or self.words[item][0] in self.openers or item in self.telling_cues:
            return False
        if self._told_at_length(item, high, frozenset()):
            return False
        if any(self.words[k][0] in self.denies for k in range(max(0, cue_end - 2), cue_end)):
            return True
        ahead = range(item, min(high, item + LIST))
        nearest = next((k for k in ahead if self.words[k][0] in OR or (k > item and k in self.telling_cues)), None)
        if self.words[item][0] not in self.weak_openers or nearest is None or self.words[nearest][0] not in OR:
            return False
        return not any(self.words[k][0] in self.specifics or self.words[k][0] in self.placing for k in range(item, nearest))

    def _forward(self, start: int, high: int, effect: Effect, is_list: bool) -> tuple[int, int]:
        """From ``start`` to where the effect of a cue before it ends."""
        stops, cue_end = self._stops(effect), start
        start = self._past_aside(start, high) or start if effect in ("family", "companion") else start
        depth, comma = 0, None
        for at in range(start, high):
            word = self.words[at][0]
            if word == OPEN:
                depth += 1
            elif word == CLOSE:
                depth -= 1
                if depth < 0:
                    return start, at
            elif depth:
                continue
            elif word == COMMA:
                if at == start or self._comma_ends(at, high, effect, is_list, cue_end):
                    return start, at
                comma = at
            elif word in AND and at > start:
                theirs = effect in ("family", "companion") and at + 1 < high and self.words[at + 1][0] in COPULAS
                theirs &= not any(word[0] in HISTORY for word in self.words[max(0, start - 3) : start])  # it is the patient who has one
                if not theirs and self._new_statement(at + 1, high):  # "his wife has an ulcer and is on warfarin"
                    return start, at
            elif at > start and is_list and effect in ("topic", "allergy_list") and word in (DASH, COLON):  # a leaflet has parts
                continue
            elif at > start and (word == DASH or at in stops or (word == QUERY and effect == "uncertain")):
                return start, at
            elif word == COLON and effect == "negated" and all(self.words[k][0] in self.list_heads for k in range(start, at)):
                continue
            elif at > start and word == COLON:  # "no pain, skin: ulcers"
                return start, comma if comma is not None else at
            elif word == "with" and at > start and not is_list and (effect == "uncertain" or self.words[cue_end - 1][0] == "without"):
                return start, at
        return start, high

    def _stops(self, effect: Effect) -> set[int]:
        """Where words stand that end this effect."""
        if effect == "removed":  # "BKA in 2016 because of gangrene"
            return set()
        if effect == "family":
            return self.family_terminators
        if effect == "companion":
            return self.family_terminators | self.companion_terminators
        return self.terminators | self.next_drug if effect == "taken_no_more" else self.terminators

    def _confirmed(self, start: int, high: int) -> bool:
        """Whether the piece behind a comma ends in "confirmed"."""
        end = self._piece_end(start, high)
        return end > start and self.words[end - 1][0] in self.confirming

    def _comma_ends(self, at: int, high: int, effect: Effect, is_list: bool, cue_end: int) -> bool:
        """Whether an effect ends at a comma: a new statement follows, or what reaches no further than its neighbour is not in a list."""
        if is_list and effect == "topic":  # what a leaflet or a protocol lists
            return False
        if effect in ("family", "companion") and at + 1 < high and self.words[at + 1][0] in TREATED:
            return False
        if effect == "negated" and self._goes_on_denying(cue_end, at, high):
            return False
        if effect == "negated" and self._confirmed(at + 1, high):
            return True
        if self._new_statement(at + 1, high) or (effect == "considered" and at + 1 < high and self.words[at + 1][0] in PERSONS):
            return True
        if effect == "taken_no_more" and any(self.words[k][0] in self.going_on for k in range(at + 1, self._piece_end(at + 1, high))):
            return True  # "stop warfarin, apixaban continues"
        if effect == "negated" and (self.words[at - 1][0] in self.concluding or self._told_at_length(at + 1, high, self.colours)):
            return True
        if is_list or effect not in _SHORT_OF_A_COMMA:
            return False
        ahead = range(at + 1, min(high, at + LIST))
        if any(self.words[k][0] in OR for k in ahead):
            return False
        # "people with lupus, myositis and other diseases"
        ends = (k for k in ahead if self.words[k][0] in AND and self.words[min(k + 1, high - 1)][0] not in PERSONS)
        return effect != "topic" or not any(all(self.words[j][0] not in PERSONS for j in range(at + 1, k)) for k in ends)

    def _told_at_length(self, start: int, high: int, colours: frozenset[str]) -> bool:
        """Whether the piece behind a comma is no item of a denied list: it has a place, a side, a size or company, and no "or" follows.

        "No rash, retiform purpura with black eschar over both thighs".
        """
        end = self._piece_end(start, high)
        if end - start < 2 or any(self.words[at][0] in OR for at in range(start, min(high, start + LIST))):
            return False
        words = (self.words[at][0] for at in range(start, end))
        return any(word in self.specifics or word in colours or word[0].isdigit() for word in words)

    def _past_aside(self, at: int, high: int) -> int | None:
        """ "Her mother, who came from the Azores, had lupus": where the sentence goes on; none where nothing is said in passing."""
        if at + 1 < high and self.words[at][0] == COMMA and self.words[at + 1][0] in ASIDES:
            close = self._piece_end(at + 1, high)
            if close + 1 < high and self.words[close + 1][0] in GOING_ON:
                return close + 1
        return None

    def _backward(self, low: int, end: int, alone: bool, effect: Effect) -> int:
        at, joined, depth = end - 1, False, 0
        while at >= low and (self.words[at][0] in (COLON, DASH, OPEN) or (alone and self.words[at][0] == COMMA)):
            alone = False
            at -= 1
        while at >= low and self.words[at][0] in AUXILIARIES:  # "has been excluded"
            at -= 1
        while at >= low:
            word = self.words[at][0]
            if word == CLOSE:
                depth += 1
            elif word == OPEN:
                depth -= 1
                if depth < 0 and self._mention_between(at, end):  # "apixaban (warfarin until 2017)": what the bracket says ends in it
                    return at + 1
            elif word == COMMA:
                relative = self.words[at + 1][0] in RELATIVE  # "calcified vessels, which are not seen here"
                if not joined and not relative and depth <= 0:
                    return at + 1
            elif word in AND or word in OR:
                if effect == "taken_no_more" and self._mention_between(at, end) and not self._mention_between(at - 1, at):
                    return at + 1  # "on warfarin (a clot in 2019) and psoriasis in the past"
                joined = True
            elif word == DASH or word in self.affirming or ((at in self.telling_cues or word == COLON) and self._mention_between(at, end)):
                return at + 1
            at -= 1
        return low

    def _mention_between(self, start: int, end: int) -> bool:
        return bisect_left(self.mentions, start) < bisect_left(self.mentions, end)
