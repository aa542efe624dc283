"""The status of a condition in a CDM, in the words of FHIR: a preliminary diagnosis is no diagnosis yet.

OMOP's domain "Condition Status" says where a diagnosis was made and which rank it has, and in a few names how sure it is. The names are
read, as the CDM's own vocabulary has them, so that local statuses count too; ids stand in where the vocabulary lacks them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

NOT_UNDERSTOOD: Final = "condition status"  # under ``not_read``: the condition counts as affirmed

# The names, in the order of their ids: OHDSI/Vocabulary-v5.0, the script that made the vocabulary "Condition Status". Ids by themselves:
# OHDSI/ETL-LambdaBuilder (32896, 32899, 32901 to 32903), answerdigital/oxford-omop-data-mapper (32893, 32895, 32899, 32902, 32908), HL7
# FHIR to OMOP 1.0.0, ConceptMap ConditionStatusConcepts (32906). Before that vocabulary: OHDSI/CommonDataModel#84 (three of SNOMED).
NAMES: Final[dict[int, str]] = {
    32890: "Admission diagnosis", 32891: "Cause of death", 32892: "Condition to be diagnosed by procedure", 32893: "Confirmed diagnosis",
    32894: "Contributory cause of death", 32895: "Death diagnosis", 32896: "Discharge diagnosis", 32897: "Immediate cause of death",
    32898: "Postoperative diagnosis", 32899: "Preliminary diagnosis", 32900: "Preoperative diagnosis", 32901: "Primary admission diagnosis",
    32902: "Primary diagnosis", 32903: "Primary discharge diagnosis", 32904: "Primary referral diagnosis", 32906: "Resolved condition",
    32908: "Secondary diagnosis", 4203942: "Admitting diagnosis", 4033240: "Preliminary diagnosis", 4230359: "Final diagnosis",
}  # fmt: skip

# Ranks and places: the diagnosis stands.
_AFFIRMED: Final = frozenset({
    "admission", "cause of death", "confirmed", "contributory cause of death", "death", "discharge", "immediate cause of death",
    "postoperative", "preoperative", "primary admission", "primary", "primary discharge", "primary referral", "referral",
    "secondary admission", "secondary", "secondary discharge", "secondary referral", "underlying cause of death", "admitting", "final",
})  # fmt: skip
# FHIR R4 condition-ver-status and condition-clinical, which sites write as they are, and other words for one of them: "working" was a code
# of FHIR DSTU 1, "possible" becomes 32899 in ETL-LambdaBuilder, "suspected" and "rule out" are provisional in HL7 Germany's profiles.
_VERIFICATION: Final = {
    **{code: code for code in ("unconfirmed", "provisional", "differential", "refuted", "confirmed", "entered-in-error")},
    **dict.fromkeys(("preliminary", "working", "possible", "suspected", "rule out"), "provisional"),
    "condition to be diagnosed by procedure": "unconfirmed", "ruled out": "refuted",
}  # fmt: skip
_CLINICAL: Final = frozenset({"active", "recurrence", "relapse", "inactive", "remission", "resolved"})
_KNOWN: Final[dict[str, dict[str, Any]]] = {
    **{word: {} for word in _AFFIRMED},
    **{word.replace("-", " "): {"verificationStatus": {"coding": [{"code": code}]}} for word, code in _VERIFICATION.items()},
    **{word: {"clinicalStatus": {"coding": [{"code": word}]}} for word in _CLINICAL},
}


def status_fields(names: Iterable[str]) -> dict[str, Any] | None:
    """The fields of a FHIR Condition that say the same as the first name that is understood; None where none is.

    Args:
        names: of a status, the nearest first.
    """
    return next((_KNOWN[word] for word in map(_word, names) if word in _KNOWN), None)


def _word(name: str) -> str:
    """Of "Rule-out diagnosis": "rule out"."""
    plain = re.sub(r"[\s_-]+", " ", name).strip().casefold()
    return plain.removesuffix(" diagnosis").removesuffix(" condition")
