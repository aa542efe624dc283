"""Reads the small pieces of a resource: CodeableConcept, interpretation, reference range, text and boolean results.

Nothing here raises on malformed input: a piece of the wrong type is read as absent and named in ``problems``.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from calcinosis.sources.believable import DAYS_AHEAD, EARLIEST
from calcinosis.sources.fhir_columns import DATE_PATTERN

_DATE: Final = re.compile(DATE_PATTERN)
UCUM: Final = "http://unitsofmeasure.org"
_KINDS: Final[dict[type, str]] = {
    dict: "an object", list: "a list", str: "a string", bool: "a boolean", int: "a number", float: "a number", type(None): "null",
}  # fmt: skip


@dataclass(slots=True)
class Fields:
    """The packed fields of one resource, read by type; what has another type is noted and left out."""

    values: dict[str, Any]
    problems: list[str] = field(default_factory=list)

    def object(self, name: str) -> dict[str, Any]:
        return self.typed(self.values.get(name), dict, name) or {}

    def string(self, name: str) -> str | None:
        return self.typed(self.values.get(name), str, name) or None

    def objects(self, name: str) -> list[dict[str, Any]]:
        """The objects of a list; one object alone counts as a list of one."""
        return self.listed(self.values.get(name), name)

    def coded(self, name: str) -> Coded | None:
        return self.as_coded(self.values.get(name), name)

    def code(self, name: str) -> str | None:
        """The code of a status-like CodeableConcept (in older FHIR: a plain string)."""
        value = self.values.get(name)
        if isinstance(value, str):
            self.problems.append(f"{name}: expected an object, found a string")
            return value.strip().lower() or None
        concept = self.as_coded(value, name)
        if concept is None:
            return None
        first = next((code for _, code, _ in concept.codings if code), concept.text)
        return first.strip().lower() if first else None

    def as_coded(self, value: Any, name: str) -> Coded | None:
        concept = self.typed(value, dict, name)
        if not concept:
            return None
        codings = tuple(
            (self._text(coding, "system", name), self._text(coding, "code", name), self._text(coding, "display", name))
            for coding in self.listed(concept.get("coding"), f"{name}.coding")
        )
        text = self.typed(concept.get("text"), str, f"{name}.text")
        coded = Coded(tuple(coding for coding in codings if coding[1] or coding[2]), text.strip() if text and text.strip() else None)
        return coded if coded.codings or coded.text else None

    def listed(self, value: Any, name: str) -> list[dict[str, Any]]:
        if isinstance(value, dict):
            return [value]
        items = self.typed(value, list, name) or []
        return [item for item in items if self.typed(item, dict, name) is not None]

    def typed(self, value: Any, kind: type, name: str) -> Any:
        if value is None or isinstance(value, kind):
            return value
        self.problems.append(f"{name}: expected {_KINDS[kind]}, found {_KINDS[type(value)]}")
        return None

    def _text(self, coding: dict[str, Any], key: str, name: str) -> str | None:
        value = coding.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and key == "code":
            value = str(value)  # a code sent as a number is still that code
        text = self.typed(value, str, f"{name}.coding.{key}")
        return text.strip() if text and text.strip() else None


LONGEST_NAME: Final = 100  # characters of what a code stands for, to be shown with it


@dataclass(frozen=True, slots=True)
class Coded:
    """A CodeableConcept: ``codings`` are (system, code, display)."""

    codings: tuple[tuple[str | None, str | None, str | None], ...]
    text: str | None

    @property
    def words(self) -> tuple[str, ...]:
        """What to read: the text its author wrote, or else the names of the codes."""
        return (self.text,) if self.text else tuple(dict.fromkeys(display for _, _, display in self.codings if display))

    @property
    def name(self) -> str | None:
        """What to show of it; None where its author wrote nothing, or more than a name."""
        return next((words for words in self.words if len(words) <= LONGEST_NAME), None)


# --- flags ---------------------------------------------------------------------------------------------

# Codes of the value set observation-interpretation (HL7 v3 ObservationInterpretation), and how laboratories write them out.
_FLAGS: Final[dict[str, str]] = {
    **dict.fromkeys(("h", "hh", "hu", "hx", ">", "high", "critical high", "above high normal", "elevated", "raised", "increased"), "high"),
    **dict.fromkeys(("l", "ll", "lu", "lx", "<", "low", "critical low", "below low normal", "decreased", "reduced"), "low"),
    **dict.fromkeys(("n", "normal", "within normal limits", "wnl", "unremarkable", "within reference range"), "normal"),
    **dict.fromkeys(("pos", "positive", "det", "detected", "rr", "wr", "reactive", "weakly reactive", "+"), "positive"),
    **dict.fromkeys(("neg", "negative", "nd", "not detected", "nr", "non-reactive", "nonreactive", "-"), "negative"),
    **dict.fromkeys(("a", "aa", "abnormal", "critical abnormal"), "abnormal"),
}  # fmt: skip


def read_interpretation(fields: Fields) -> str | None:
    """The first interpretation that says something, as one of ``events.FLAGS``."""
    for item in fields.objects("interpretation"):
        concept = fields.as_coded(item, "interpretation")
        for word in () if concept is None else (*(part for coding in concept.codings for part in coding[1:]), concept.text):
            flag = _FLAGS.get((word or "").strip().lower())
            if flag:
                return flag
    return None


# --- answers -------------------------------------------------------------------------------------------

_END: Final = r"\s*(?:$|[(\[,;:./]|-\s|\s[<>]?\d)"  # an answer stands alone or before a remark in marks, never inside a sentence
_NO_ANSWER: Final = re.compile(
    r"(?:unknown|not (?:known|assessed|done|performed|tested|measured|available|applicable|given|recorded|examined|sent)"
    r"|unable to \w+|n/?a|pending|awaited|to follow|see (?:comment|note|report).*|refused|declined|cancelled|test not .*"
    r"|quantity not sufficient|-+|\?+)" + _END,
    re.IGNORECASE,
)
_HOW_MUCH: Final = (
    r"(?:(?:very|quite|markedly|significantly|considerably|grossly|extremely|severely|moderately|slightly|mildly|minimally|marginally"
    r"|persistently|inappropriately|abnormally|strongly) )?"
)
_ANSWERS: Final = tuple(
    (re.compile(rf"(?:(?:is|was|are|were) )?(?:{words}){_END}", re.IGNORECASE), answer)
    for answer, words in (
        ("normal", r"no abnormalit(?:y|ies)(?: (?:detected|found|seen))?"),
        ("negative", r"no|none(?: (?:seen|noted|found|present|detected|identified))?|nil"
                     r"|not (?:present|seen|detected|found|identified|noted)|negative|neg|absent|false"
                     r"|denied|denies|undetect(?:ed|able)|non-?reactive|never|\(-\)"),
        ("uncertain", r"possible|possibly|probable|probably|suspected|equivocal|indeterminate|inconclusive|borderline|questionable|likely"),
        ("positive", r"(?:weak(?:ly)? |strong(?:ly)? )?(?:positive|pos|reactive)|yes|true|present|detected|\(?\++\)?"),
        ("high", rf"{_HOW_MUCH}(?:high|elevated|raised|increased)|above (?:normal|range|(?:the )?reference range)|hh?|toxic"
                 r"|supra(?:therapeutic|normal|physiological)|↑+"),
        ("low", rf"{_HOW_MUCH}(?:low|decreased|reduced|suppressed|deficient|insufficient|diminished)"
                r"|below (?:normal|range|(?:the )?reference range)|ll?|subtherapeutic|subnormal|↓+"),
        ("normal", r"(?:all |completely |entirely )?(?:normal|norm|nl|n|ok|nad|unremarkable|wnl)|sufficient|replete"
                   r"|(?:all )?(?:with)?in (?:the )?(?:normal|reference) (?:limits?|range|interval)|(?:with)?in (?:the )?norm"),
        ("abnormal", r"abnormal|deranged"),
    )
)  # fmt: skip
_TITRE: Final = re.compile(r"(?:titre|titer)?\s*([<>]=?|≤|≥)?\s*1\s*[:/]\s*(\d+)\b", re.IGNORECASE)
_TITRE_WITHIN: Final = re.compile(r"\b1\s*[:/]\s*(\d{2,})\b")
_NUMBER: Final = re.compile(  # comparator, number ("12,5" too; "1,250" may be two), unit, a word about it in brackets: "2.9 mmol/L (high)"
    r"([<>]=?|≤|≥)?\s*([+-]?\d+(?:\.\d+|,\d{1,2}(?!\d))?)\s*([^\s\d,;()\[\]][^\s,;()\[\]]*)?\s*(?:[(\[,;]\s*([a-z ]+?)\s*[)\]]?)?$",
    re.IGNORECASE,
)
_COMPARATORS: Final = {"≤": "<=", "≥": ">="}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a text result says. ``flag`` is one of ``events.FLAGS`` or "uncertain"; ``missing``: it says that nothing is known."""

    flag: str | None = None
    number: float | None = None
    comparator: str | None = None
    unit: str | None = None
    missing: bool = False
    titre: int | None = None  # 1:80 is 80
    called: bool = False  # words say the flag, not the titre alone


def read_answer(text: str) -> Answer:
    """Reads "negative", "positive (1:640)", "1:80", "< 5 mg/L", "not done"; a sentence gives an empty answer."""
    text = text.strip()
    if _NO_ANSWER.match(text):
        return Answer(missing=True)
    for pattern, answer in _ANSWERS:
        if pattern.match(text):
            stated = _TITRE_WITHIN.search(text) if answer == "positive" else None
            return Answer(flag=answer, titre=int(stated[1]) if stated else None, called=True)
    titre = _TITRE.match(text)
    if titre:
        return Answer(flag="negative" if (titre[1] or "").startswith(("<", "≤")) else "positive", titre=int(titre[2]))
    number = _NUMBER.match(text)
    if number:
        comparator = _COMPARATORS.get(number[1] or "", number[1])
        return Answer(_FLAGS.get((number[4] or "").lower()), float(number[2].replace(",", ".")), comparator or None, number[3])
    return Answer()


# --- numbers -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Range:
    low: float | None = None
    high: float | None = None
    unit: str | None = None


def quantity_unit(quantity: dict[str, Any]) -> str | None:
    """The UCUM code when there is one, else the unit as written."""
    ucum = quantity.get("code") if quantity.get("system") == UCUM else None
    unit = ucum or quantity.get("unit") or quantity.get("code")
    return unit if isinstance(unit, str) else None


def number_of(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def read_ratio(fields: Fields, ratio: dict[str, Any]) -> str | None:
    """A Ratio as "1:640"."""
    ends = [(fields.typed(ratio.get(end), dict, f"valueRatio.{end}") or {}).get("value") for end in ("numerator", "denominator")]
    numbers = [number for number in map(number_of, ends) if number is not None]
    return ":".join(f"{number:g}" for number in numbers) if len(numbers) == 2 else None


def read_range(fields: Fields) -> Range:
    """The laboratory's normal interval. Of several, the one marked normal and not limited to a group; if that is not clear, none."""
    ranges = [item for item in fields.objects("referenceRange") if item.get("low") or item.get("high")]
    if len(ranges) > 1:
        ranges = [item for item in ranges if not item.get("appliesTo") and not item.get("age") and _is_normal(fields, item)]
    if len(ranges) != 1:
        return Range()
    low, high = (fields.typed(ranges[0].get(end), dict, f"referenceRange.{end}") or {} for end in ("low", "high"))
    return Range(number_of(low.get("value")), number_of(high.get("value")), quantity_unit(low) or quantity_unit(high))


def _is_normal(fields: Fields, item: dict[str, Any]) -> bool:
    kind = fields.as_coded(item.get("type"), "referenceRange.type")
    return kind is None or any(code == "normal" for _, code, _ in kind.codings)


# --- dates -------------------------------------------------------------------------------------------------


def read_moment(text: str | None) -> datetime | None:
    """A FHIR date or dateTime as UTC; a year or month is its first day. None for what no record can hold."""
    if text is None or not _DATE.match(text):
        return None
    try:
        found = datetime.fromisoformat(text + {4: "-01-01", 7: "-01"}.get(len(text), ""))
        found = found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found
    except (ValueError, OverflowError):
        return None
    return found if EARLIEST <= found <= _latest(int(time.time()) // 3600) else None


@lru_cache(maxsize=1)
def _latest(hour: int) -> datetime:
    """The last moment that a record may hold, in a given hour since 1970."""
    return datetime.fromtimestamp((hour + 1) * 3600, UTC).replace(tzinfo=None) + timedelta(days=DAYS_AHEAD)


def read_birth_date(text: str | None) -> date | None:
    """A birth date; a year is its first of July, a month its fifteenth. None for what no record can hold."""
    if text is None or not _DATE.match(text):
        return None
    try:
        found = date.fromisoformat({4: f"{text}-07-01", 7: f"{text}-15"}.get(len(text), text[:10]))
    except ValueError:
        return None
    return found if EARLIEST.date() <= found <= datetime.now(UTC).date() else None


def read_sex(gender: Any) -> str | None:
    """The sex of a Patient as in ``events.PATIENT_SCHEMA``."""
    return str(gender) if gender in ("female", "male") else None


# --- attachments ---------------------------------------------------------------------------------------


def decode_text(data: str) -> str | None:
    """The text of a base64 attachment; None when it is not base64 or not UTF-8."""
    try:
        return base64.b64decode(data, validate=True).decode()
    except (binascii.Error, ValueError):
        return None
