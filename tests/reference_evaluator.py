"""A slow and obvious evaluator: plain Python over the events of one patient, Kleene's logic written out by hand.

It shares nothing with ``calcinosis`` but the knowledge models. What it says is what the words mean; the vectorised evaluation must agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import Any

from calcinosis.knowledge import Knowledge
from calcinosis.knowledge.criteria import (
    AgeIs,
    All,
    AnyKnown,
    AnyOf,
    AtLeast,
    Current,
    Elsewhere,
    FindingRef,
    Has,
    HasAny,
    HypothesisAtLeast,
    Known,
    LabIs,
    LabValue,
    Not,
    Over,
    SameSite,
    SexIs,
    Status,
    Suspected,
)
from calcinosis.knowledge.model import Lab

Truth = bool | None
STATUSES = ["excluded", "unlikely", "not_assessed", "possible", "probable", "confirmed"]

# --- Kleene ----------------------------------------------------------------------------------------


def kleene_and(values: Iterable[Truth]) -> Truth:
    seen = list(values)
    if False in seen:
        return False
    return None if None in seen else True


def kleene_or(values: Iterable[Truth]) -> Truth:
    seen = list(values)
    if True in seen:
        return True
    return None if None in seen else False


def kleene_not(value: Truth) -> Truth:
    return None if value is None else not value


def kleene_at_least(n: int, values: Iterable[Truth]) -> Truth:
    seen = list(values)
    if seen.count(True) >= n:
        return True
    if seen.count(True) + seen.count(None) < n:
        return False
    return None


# --- units -----------------------------------------------------------------------------------------


def factor(unit: str | None, canonical: str | None, molar_mass: float | None, valence: int | None) -> float | None:
    """By hand, for the units that the tests send; None when the unit cannot be used."""
    if canonical is None:
        return 1.0
    if unit == canonical:
        return 1.0
    known = {
        ("mg/dL", "mmol/L"): 10 / molar_mass if molar_mass else None,
        ("mg/dL", "umol/L"): 10_000 / molar_mass if molar_mass else None,
        ("umol/L", "mmol/L"): 0.001,
        ("meq/L", "mmol/L"): 1 / valence if valence else None,
        ("g/dL", "g/L"): 10.0,
        ("m", "cm"): 100.0,
        ("mg2/dL2", "mmol2/L2"): 100 / molar_mass if molar_mass else None,
    }
    return known.get((unit or "", canonical))


@dataclass(frozen=True)
class Measurement:
    concept: str
    time: datetime | None
    value: float | None
    comparator: str | None
    flag: str | None
    range_low: float | None
    range_high: float | None
    source: str
    rank: int = 0

    @property
    def order(self) -> tuple[int, str]:
        return self.rank, self.source


# --- one patient -----------------------------------------------------------------------------------


@dataclass
class Case:
    """One patient under one knowledge base."""

    knowledge: Knowledge
    person: dict[str, Any]
    all_events: list[dict[str, Any]]
    as_of_given: datetime | None = None
    closed_world: frozenset[str] = frozenset()
    _measured: dict[str, list[Measurement]] | None = field(default=None, repr=False)

    # --- time

    @cached_property
    def entries(self) -> list[dict[str, Any]]:
        """All that was recorded up to the moment asked for; what ended later goes on."""
        cut = self.as_of_given
        if cut is None:
            return self.all_events
        seen = [e for e in self.all_events if e["time"] is None or e["time"] <= cut]
        return [{**e, "status": None} if e["status"] == "ended" and e["end_time"] is not None and e["end_time"] > cut else e for e in seen]

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """Without the signs that ended long ago: they say nothing about the lesion of today."""
        return [e for e in self.entries if not self.long_over(e)]

    def long_over(self, e: dict[str, Any]) -> bool:
        if self.knowledge.concepts[e["concept"]].kind != "finding" or self.is_a(e["concept"], "calcification"):
            return False
        if e["status"] != "ended" and (e["end_time"] is None or (e["time"] is not None and e["end_time"] <= e["time"])):
            return False
        end = max((moment for moment in (e["time"], e["end_time"]) if moment is not None), default=None)
        return end is not None and self.now is not None and end < self.now - timedelta(days=self.knowledge.setting("ended_sign_days"))

    @cached_property
    def now(self) -> datetime | None:
        if self.as_of_given is not None:
            return self.as_of_given
        return max((e["time"] for e in self.entries if e["time"] is not None), default=None)

    @cached_property
    def index(self) -> datetime | None:
        def first(root: str) -> datetime | None:
            times = [
                e["time"] for e in self.events if e["certainty"] == "affirmed" and e["time"] is not None and self.is_a(e["concept"], root)
            ]
            return min(times, default=None)

        return first("calcification") or first("skin_lesion") or self.now

    def age_at(self, moment: datetime | None) -> float | None:
        """Years since birth; a birthday adds a whole one; unknown before birth."""
        born: date | None = self.person["birth_date"]
        if born is None or moment is None:
            return None
        birthdays = moment.year - born.year - ((moment.month, moment.day) < (born.month, born.day))
        if birthdays < 0:
            return None
        days = whole_days(moment - datetime.combine(born, time())) / 365.25
        return min(max(days, birthdays), birthdays + 0.999)

    @cached_property
    def age(self) -> float | None:
        return self.age_at(self.index)

    # --- concepts

    def is_a(self, concept: str, ancestor: str) -> bool:
        return concept == ancestor or any(self.is_a(parent, ancestor) for parent in self.knowledge.concepts[concept].parents)

    def is_lab(self, concept: str) -> bool:
        return self.knowledge.concepts[concept].lab is not None

    def said(self, concept: str) -> dict[str, int]:
        """How many events affirm, deny and suspect the concept."""
        count = {"affirmed": 0, "negated": 0, "uncertain": 0}
        for e in self.events:
            if e["certainty"] == "family" or self.is_lab(e["concept"]):
                continue
            if e["certainty"] == "negated":
                count["negated"] += self.is_a(concept, e["concept"])
            else:
                count[e["certainty"]] += self.is_a(e["concept"], concept)
        return count

    def recorded(self, concept: str) -> Truth:
        count = self.said(concept)
        return True if count["affirmed"] else False if count["negated"] else None

    def present(self, concept: str) -> Truth:
        recorded = self.recorded(concept)
        silent = not any(self.said(concept).values())
        if silent and self.knowledge.concepts[concept].kind in self.closed_world:
            return False
        return recorded

    def suspected(self, concept: str) -> Truth:
        count = self.said(concept)
        if count["affirmed"] or count["negated"]:
            return False
        return True if count["uncertain"] else None

    def mentions(self, concept: str) -> list[dict[str, Any]]:
        return [
            e for e in self.events if e["certainty"] == "affirmed" and not self.is_lab(e["concept"]) and self.is_a(e["concept"], concept)
        ]

    def meets(self, leaf: Has, mention: dict[str, Any]) -> Truth:
        conditions: list[Truth] = []
        when, index = mention["time"], self.index
        if leaf.at:
            sites = mention["sites"] or []
            conditions.append(any(self.is_a(site, leaf.at) for site in sites) if sites else None)
        if leaf.days_before_onset:
            lead = mention["days_before_onset"]
            if lead is None and when is not None and index is not None and whole_days(index - when) != 0:
                lead = whole_days(index - when)
            low, high = leaf.days_before_onset
            conditions.append(None if lead is None else low <= lead <= high)
        if leaf.within_days is not None:
            conditions.append(when is None or index is None or abs(whole_days(when - index)) <= leaf.within_days)
        return kleene_and(conditions)

    def has(self, leaf: Has) -> Truth:
        plain = self.present(leaf.has)
        if not (leaf.at or leaf.days_before_onset or leaf.within_days is not None) or plain is False:
            return plain
        mentions = self.mentions(leaf.has)
        return kleene_or(self.meets(leaf, mention) for mention in mentions) if mentions else None

    def has_any(self, criterion: HasAny) -> Truth:
        sites = [criterion.at] if criterion.at is None or isinstance(criterion.at, str) else criterion.at
        answers: list[Truth] = []
        for site in sites:
            if any(self.has(Has(has=other, at=site)) is True for other in criterion.without):
                answers.append(False)
            else:
                answers += [self.has(Has(has=concept, at=site)) for concept in criterion.has_any]
        return kleene_or(answers)

    def current(self, leaf: Current) -> Truth:
        within = self.knowledge.setting("current_within_days") if leaf.within_days is None else leaf.within_days
        mentions, now = self.mentions(leaf.current), self.now
        if not mentions:
            return False if self.present(leaf.current) is False else None

        answers: list[Truth] = []
        for m in mentions:
            ends = [o["end_time"] or o["time"] for o in mentions if o["concept"] == m["concept"] and self.ended(o)]
            replaced = m["time"] is not None and any(end is not None and m["time"] < end for end in ends)
            done = self.knowledge.concepts[leaf.current].kind == "procedure"
            last = m["end_time"] or m["time"]
            if done and (m["time"] is None or now is None or whole_days(now - last) <= within):
                answers.append(True)
            elif self.ended(m) or replaced:
                answers.append(False if m["concept"] == leaf.current else None)  # the end of one drug does not end its class
            elif m["time"] is None or now is None or whole_days(now - m["time"]) <= within:
                answers.append(True)
            else:
                answers.append(True if m["end_time"] is not None and m["end_time"] > now else None)
        return kleene_or(answers)

    def ended(self, mention: dict[str, Any]) -> bool:
        end = mention["end_time"]
        return mention["status"] == "ended" or (end is not None and self.now is not None and end <= self.now)

    def over(self, leaf: Over) -> Truth:
        long = self.knowledge.setting("ended_sign_days") if leaf.for_days is None else leaf.for_days
        mentions = self.mentions(leaf.over)
        if not mentions:
            return False if self.present(leaf.over) is False else None
        answers: list[Truth] = []
        for m in mentions:
            ends = [o["end_time"] or o["time"] for o in mentions if o["concept"] == m["concept"] and self.ended(o)]
            last = max((end for end in ends if end is not None), default=None)
            end = (m["end_time"] or m["time"]) if self.ended(m) else last
            if not self.ended(m) and (m["time"] is None or last is None or m["time"] >= last):
                answers.append(False)
            else:
                answers.append(None if end is None or self.now is None else whole_days(self.now - end) >= long)
        return kleene_and(answers)

    def same_site(self, leaf: SameSite) -> Truth:
        first, second = leaf.same_site
        if self.present(first) is False or self.present(second) is False:
            return False
        one = {site for mention in self.mentions(first) for site in mention["sites"] or []}
        other = {site for mention in self.mentions(second) for site in mention["sites"] or []}
        pairs = [(a, b) for a in one for b in other]
        if any(self.is_a(a, b) or self.is_a(b, a) for a, b in pairs):
            return True
        return False if any(not self.is_a(a, "tissue") and not self.is_a(b, "tissue") for a, b in pairs) else None

    def elsewhere(self, leaf: Elsewhere) -> Truth:
        first, second = leaf.elsewhere
        if self.present(first) is False or self.present(second) is False:
            return False

        def regions(mention: dict[str, Any]) -> set[str]:
            places = [place for place in self.knowledge.concepts if any(self.is_a(place, site) for site in mention["sites"] or [])]
            return {region for region in leaf.regions if any(self.is_a(place, region) for place in places)}

        one, other = ([regions(mention) for mention in self.mentions(concept)] for concept in (first, second))
        if not one or not other:
            return None
        if set[str]().union(*one) & set[str]().union(*other):
            return False
        return True if all(one) and all(other) else None

    # --- measurements

    def flagged(self, measurement: Measurement) -> Measurement:
        """The flag the laboratory sent, else by its own interval, else by the interval for age and sex: for every one that may be the right one."""
        if measurement.flag is not None or measurement.value is None:
            return self.doubted(measurement)
        low, high = measurement.range_low, measurement.range_high
        lab = self.knowledge.concepts[measurement.concept].lab
        age = self.age_at(measurement.time if measurement.time is not None else self.index)
        if low is not None or high is not None or lab is None:
            flag = judge(measurement.value, measurement.comparator, low, high)
            if lab is not None and high is not None and age is not None and (sex := self.person["sex"] or "female"):
                grown = [i for i in lab.intervals if i.age_below_years >= 200]
                mine, adult = interval_for(lab, age, sex)[1], interval_for(lab, 100.0, sex)[1]
                if grown and mine and adult and age < grown[-1].age_from_years and abs(high - adult) <= 0.1 * adult and mine > 1.1 * high:
                    of_age = judge(measurement.value, measurement.comparator, *interval_for(lab, age, sex))
                    flag = flag if flag == of_age else None
            return replace(measurement, flag=flag)
        limits = {0.0, *(i.age_from_years for i in lab.intervals), *(i.age_below_years for i in lab.intervals if i.age_below_years < 200)}
        flags = {
            judge(measurement.value, measurement.comparator, *interval_for(lab, each_age, each_sex))
            for each_age in (limits if age is None else [age])
            for each_sex in ([self.person["sex"]] if self.person["sex"] in ("female", "male") else ["female", "male"])
        }
        return replace(measurement, flag=flags.pop() if len(flags) == 1 else None)

    def doubted(self, measurement: Measurement) -> Measurement:
        """Without a "high" that was said of a child by the limits of adults, as far as the interval of its age can tell."""
        lab = self.knowledge.concepts[measurement.concept].lab
        age = self.age_at(measurement.time if measurement.time is not None else self.index)
        if measurement.flag != "high" or measurement.value is None or lab is None or age is None:
            return measurement
        grown = [i for i in lab.intervals if i.age_below_years >= 200]
        if not grown or age >= grown[-1].age_from_years or interval_for(lab, 100.0, self.person["sex"] or "female")[1] is None:
            return measurement
        own = self.flagged(replace(measurement, flag=None)).flag
        if measurement.range_low is None and measurement.range_high is None:
            return replace(measurement, flag=None) if own == "normal" else measurement
        said = judge(measurement.value, measurement.comparator, measurement.range_low, measurement.range_high)
        return replace(measurement, flag=None) if said is not None and own is None else measurement

    @property
    def measured(self) -> dict[str, list[Measurement]]:
        if self._measured is None:
            found: dict[str, list[Measurement]] = {}
            for e in self.events:
                if e["certainty"] == "affirmed" and self.is_lab(e["concept"]):
                    made = self.read(e)
                    if made is not None:
                        found.setdefault(made.concept, []).append(self.flagged(made))
            for made in self.adjusted(found) + self.filtration(found):
                found.setdefault(made.concept, []).append(self.flagged(made))
            for made in self.products(found):
                found.setdefault(made.concept, []).append(self.flagged(made))
            self._measured = found
        return self._measured

    def read(self, e: dict[str, Any]) -> Measurement | None:
        lab = self.knowledge.concepts[e["concept"]].lab
        assert lab is not None
        scale = factor(e["unit"], lab.unit, lab.molar_mass, lab.valence) if e["numeric_value"] is not None else None
        value, low, high = (
            None if scale is None or e[name] is None else e[name] * scale for name in ("numeric_value", "range_low", "range_high")
        )
        if value is None and e["flag"] is None:
            return None
        return Measurement(e["concept"], e["time"], value, e["comparator"], e["flag"], low, high, e["source"])

    def adjusted(self, found: dict[str, list[Measurement]]) -> list[Measurement]:
        made = []
        for each in found.get("calcium_albumin_corrected", []):
            made.append(replace(each, rank=1))
        for total in found.get("calcium_total", []):
            albumin = nearest(total, found.get("albumin", []))
            if (
                albumin
                and albumin.value is not None
                and albumin.comparator is None
                and total.value is not None
                and total.comparator is None
            ):
                value = total.value + self.knowledge.setting("calcium_adjustment_per_g_per_l") * (
                    self.knowledge.setting("albumin_reference") - albumin.value
                )
                made.append(replace(total, value=value, flag=None, rank=2, source=f"{total.source} + {albumin.source}"))
            elif albumin and albumin.flag == "low" and total.flag in ("low", "normal"):
                # the low albumin may hide a normal or high calcium: the true one is at least the total, and nothing else is known
                if total.value is not None and total.comparator not in ("<", "<="):
                    made.append(replace(total, flag=None, comparator=total.comparator or ">=", rank=3))
            else:
                made.append(replace(total, rank=3))
        for each in found.get("calcium_ionised", []):
            if each.flag is not None:
                made.append(replace(each, value=None, rank=0))
        return [replace(each, concept="calcium_adjusted") for each in made]

    def products(self, found: dict[str, list[Measurement]]) -> list[Measurement]:
        made = []
        for calcium in found.get("calcium_adjusted", []):
            phosphate = nearest(calcium, [m for m in found.get("phosphate", []) if m.value is not None and m.comparator is None])
            if calcium.value is not None and calcium.comparator is None and phosphate is not None and phosphate.value is not None:
                source = f"{calcium.source} + {phosphate.source}"
                value = calcium.value * phosphate.value
                made.append(Measurement("calcium_phosphate_product", calcium.time, value, None, None, None, None, source, 1))
        return made

    def filtration(self, found: dict[str, list[Measurement]]) -> list[Measurement]:
        made = []
        for each in found.get("creatinine", []):
            age = self.age_at(each.time if each.time is not None else self.index)
            if each.value is None or each.comparator is not None or age is None or each.value <= 0:
                continue
            mg_dl = each.value * 113.12 / 10_000
            sex = self.person["sex"]
            value: float | None = None
            if age >= 18 and sex is not None:
                kappa, alpha, last = (0.7, -0.241, 1.012) if sex == "female" else (0.9, -0.302, 1.0)
                value = 142 * min(mg_dl / kappa, 1) ** alpha * max(mg_dl / kappa, 1) ** -1.2 * 0.9938**age * last
            elif 1 <= age < 18:
                height = nearest(each, found.get("body_height", []))
                exact = height is not None and height.value is not None and height.comparator is None
                value = 0.413 * height.value / mg_dl if exact and height and height.value else None
            if value is not None:
                made.append(Measurement("egfr", each.time, value, None, None, None, None, each.source, 1))
        return made

    def deciding(self, concept: str, now: bool, sized: bool = False) -> Measurement | None:
        """The measurement nearest to the index date, failing that to now; or to now. ``sized``: with a value, at most a week further off."""
        candidates = self.candidates(concept, self.now if now else self.index) or self.candidates(concept, self.now)
        if sized:
            nearest_of_all = min((away for away, _, _ in candidates), default=0)
            candidates = [c for c in candidates if c[2].value is not None and c[0] <= nearest_of_all + 7]
        return min(candidates, key=lambda c: c[:2])[2] if candidates else None

    def candidates(self, concept: str, anchor: datetime | None) -> list[tuple[int, Any, Measurement]]:
        found = []
        for each in self.measured.get(concept, []):
            away = 0 if each.time is None or anchor is None else abs(whole_days(each.time - anchor))
            if away <= self.knowledge.setting("lab_window_days"):
                found.append((away, each.order, each))
        return found

    def lab_is(self, leaf: LabIs, now: bool) -> Truth:
        def means(flag: str | None) -> Truth:
            if flag is None:
                return None
            if leaf.is_ == "high":
                return {"high": True, "low": False, "normal": False}.get(flag)
            if leaf.is_ == "low":
                return {"low": True, "high": False, "normal": False}.get(flag)
            in_order = flag in ("normal", "negative")
            if leaf.is_ == "normal":
                return in_order
            if leaf.is_ == "negative":
                return True if in_order else None if flag == "low" else False
            return False if in_order else None if flag == "low" else True  # positive

        if leaf.ever:
            return True if any(means(each.flag) for each in self.measured.get(leaf.lab, [])) else None
        decides = self.deciding(leaf.lab, now)
        return means(decides.flag) if decides else None

    def lab_value(self, leaf: LabValue, now: bool) -> Truth:
        lab = self.knowledge.concepts[leaf.value].lab
        decides = self.deciding(leaf.value, now, sized=True)
        if lab is None or decides is None or decides.value is None:
            return None
        scale = factor(leaf.unit, lab.unit, lab.molar_mass, lab.valence)
        assert scale is not None
        value, how = decides.value, decides.comparator
        answers: list[Truth] = []
        for limit, low_end in ((leaf.at_least, True), (leaf.below, False)):
            if limit is None:
                continue
            bound = self.knowledge.number(limit) * scale
            if how is None:
                reaches: Truth = value >= bound
            elif how == "<":
                reaches = False if value <= bound else None
            elif how == "<=":
                reaches = False if value < bound else None
            else:  # ">" and ">="
                reaches = True if value >= bound else None
            answers.append(reaches if low_end else kleene_not(reaches))
        return kleene_and(answers)

    # --- criteria

    def truth(self, criterion: Any, now: bool = False) -> Truth:
        match criterion:
            case Has():
                return self.has(criterion)
            case HasAny():
                return self.has_any(criterion)
            case Current():
                return self.current(criterion)
            case Over():
                return self.over(criterion)
            case Suspected():
                return self.suspected(criterion.suspected)
            case SameSite():
                return self.same_site(criterion)
            case Elsewhere():
                return self.elsewhere(criterion)
            case LabIs():
                return self.lab_is(criterion, now)
            case LabValue():
                return self.lab_value(criterion, now)
            case AgeIs():
                return self.inside(self.age_at(self.now) if now else self.age, criterion.at_least, criterion.below)
            case SexIs():
                return None if self.person["sex"] is None else self.person["sex"] == criterion.sex
            case FindingRef():
                return self.finding(criterion.finding)
            case HypothesisAtLeast():
                status = self.status(criterion.hypothesis)[0]
                if now and status is Status.NOT_ASSESSED:
                    return None
                return STATUSES.index(status) >= STATUSES.index(criterion.at_least)
            case All():
                return kleene_and([self.truth(part, now) for part in criterion.all_])
            case AnyOf():
                return kleene_or([self.truth(part, now) for part in criterion.any_])
            case AnyKnown():
                answers = [self.truth(part, now) for part in criterion.any_known]
                return True if True in answers else False if False in answers else None
            case Not():
                return kleene_not(self.truth(criterion.not_, now))
            case Known():
                return self.truth(criterion.known, now) is True
            case AtLeast():
                return kleene_at_least(criterion.at_least, [self.truth(part, now) for part in criterion.of])
        raise TypeError(criterion)

    def inside(self, number: float | None, at_least: float | None, below: float | None) -> Truth:
        if number is None:
            return None
        return (at_least is None or number >= at_least) and (below is None or number < below)

    def finding(self, key: str) -> Truth:
        """A finding looks at the index date, whoever asks."""
        return self.truth(self.knowledge.findings[key].when)

    def status(self, key: str) -> tuple[Status, int]:
        """The status of a type or mimic, and which rule decided (−1: none)."""
        hypothesis = self.knowledge.types.get(key) or self.knowledge.mimics[key]
        for n, rule in enumerate(hypothesis.rules):
            if self.truth(rule.when) is True:
                return rule.status, n
        return Status.NOT_ASSESSED, -1

    def leading(self) -> str | None:
        standing = []
        for place, key in enumerate([*self.knowledge.types, *self.knowledge.mimics]):
            rank = STATUSES.index(self.status(key)[0])
            if rank >= STATUSES.index("possible"):
                type_ = self.knowledge.types.get(key)
                urgency = type_.urgency if type_ else int(self.knowledge.setting("mimic_urgency"))
                if type_ and type_.more_urgent and self.truth(type_.more_urgent.when) is True:
                    urgency = type_.more_urgent.urgency
                standing.append((-rank, urgency, place, key))
        return min(standing)[3] if standing else None


def whole_days(span: timedelta) -> int:
    """Whole days, towards zero."""
    days = abs(span) // timedelta(days=1)
    return days if span >= timedelta() else -days


def nearest(to: Measurement, among: list[Measurement]) -> Measurement | None:
    """The measurement taken nearest in time, within a week; an undated one goes with undated ones only. Of two equally near, the later."""
    found = []
    for each in among:
        if (each.time is None) == (to.time is None):
            away = timedelta() if to.time is None or each.time is None else each.time - to.time
            if abs(away) <= timedelta(days=7):
                found.append((-abs(away), away, each.source, each))
    return max(found, key=lambda f: f[:3])[3] if found else None


def interval_for(lab: Lab, age: float, sex: str) -> tuple[float | None, float | None]:
    low = high = None
    for interval in lab.intervals:
        above = age >= interval.age_from_years
        below = interval.age_below_years >= 200 or age < interval.age_below_years
        if above and below and interval.sex in (None, sex):
            scale = factor(interval.unit, lab.unit, lab.molar_mass, lab.valence)
            assert scale is not None
            low = interval.low * scale if interval.low is not None else None
            high = interval.high * scale if interval.high is not None else None
    return low, high


def judge(value: float, comparator: str | None, low: float | None, high: float | None) -> str | None:
    """Flag of a value against an interval; the limits themselves are normal. A comparator may leave it open."""
    if low is None and high is None:
        return None
    low, high = float("-inf") if low is None else low, float("inf") if high is None else high
    if comparator is None:
        return "low" if value < low else "high" if value > high else "normal"
    if comparator in ("<", "<="):
        if value < low or (value == low and comparator == "<"):
            return "low"
        return "normal" if low == float("-inf") and value <= high else None
    if value > high or (value == high and comparator == ">"):
        return "high"
    return "normal" if high == float("inf") and value >= low else None
