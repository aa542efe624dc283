"""Published cases, encoded as short records: does the system name what their authors named?

A vignette marked ``undecidable`` is only checked for not being wrong in a dangerous way. One that is listed in ``known_misses.txt``
is expected to fail, with its reason there; when it starts to pass, the test says so.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from encode import load_vignettes, to_resources

from calcinosis.api import make_readers
from calcinosis.assessment import Assessment, assess_batch
from calcinosis.knowledge.criteria import Status
from calcinosis.sources.fhir import read_resources

VIGNETTES = load_vignettes()
MISSES = dict(
    line.split(":", 1)
    for line in (Path(__file__).parent / "known_misses.txt").read_text(encoding="utf-8").splitlines()
    if line.strip() and not line.startswith("#")
)


def assess(vignette: dict[str, Any]) -> Assessment:
    readers = make_readers()
    [answer] = assess_batch(read_resources(to_resources(vignette), readers.index, readers.text), readers.knowledge)
    return answer


def named(answer: Assessment) -> str | None:
    """The leading answer: the key of a type or of a mimic."""
    return answer.leading_mimic if answer.leading == "mimic" else answer.leading


def wanted(vignette: dict[str, Any]) -> str | None:
    """The answer of the authors; None for a control, of whom nothing should be said."""
    expect = vignette["expect"]
    return expect["mimic"] if expect["leading"] == "mimic" else expect["leading"]


def dangers(vignette: dict[str, Any], answer: Assessment) -> list[str]:
    """What would harm a patient, whatever the answer."""
    calciphylaxis = next(each for each in answer.types if each.type == "calciphylaxis")
    found = []
    explained = named(answer) == wanted(vignette) and answer.leading_status in (Status.PROBABLE, Status.CONFIRMED)
    if calciphylaxis.status is Status.EXCLUDED:
        found.append("calciphylaxis is excluded")
    if vignette.get("ischaemic") and not answer.alarms and not explained:
        found.append("an ischaemic lesion without an explanation raises no alarm")
    nothing_to_see = vignette.get("undecidable") and not vignette.get("ischaemic")  # the record does not describe the lesion
    if wanted(vignette) == "calciphylaxis" and not nothing_to_see and calciphylaxis.status.rank < Status.POSSIBLE.rank:
        found.append(f"calciphylaxis is {calciphylaxis.status}")
    return found


def test_ids_are_unique_and_sources_resolve() -> None:
    ids = [vignette["id"] for vignette in VIGNETTES]
    assert len(ids) == len(set(ids))
    assert set(MISSES) <= set(ids)
    for vignette in VIGNETTES:
        source = vignette["source"]
        assert source["author"] and source["year"] and {"doi", "pmid", "url"} & set(source), vignette["id"]


@pytest.mark.parametrize("vignette", [pytest.param(v, id=v["id"]) for v in VIGNETTES])
def test_vignette(vignette: dict[str, Any]) -> None:
    answer = assess(vignette)
    assert not dangers(vignette, answer)
    if vignette.get("undecidable"):
        return
    right = named(answer) == wanted(vignette) or (wanted(vignette) is None and answer.leading_status is Status.POSSIBLE)
    if vignette["id"] in MISSES:
        assert not right, "this one passes now: take it out of known_misses.txt"
        pytest.xfail(MISSES[vignette["id"]].strip())
    assert right, f"{named(answer)} ({answer.leading_status}), not {wanted(vignette)}"


OTHER_NAMES = (
    "pyoderma gangrenosum", "cutaneous vasculitis", "livedoid vasculopathy", "warfarin-induced skin necrosis", "cholesterol embolism",
    "heparin skin necrosis", "cryoglobulinaemia", "necrotising fasciitis", "oxalate vasculopathy", "purpura fulminans", "cellulitis",
    "antiphospholipid syndrome", "venous ulcer", "diabetic foot ulcer", "Martorell ulcer", "brown recluse spider bite",
    "levamisole vasculopathy", "hydroxyurea ulcer", "ecthyma gangrenosum", "arterial ulcer", "nephrogenic systemic fibrosis",
    "Buerger disease",
)  # fmt: skip


DOUBTED = (
    "possible {}", "consistent with {}", "misdiagnosed as {}", "treated as {}, no response", "initially diagnosed as {}", "mistaken for {}",
    "working diagnosis: {}", "referred as {}",
)  # fmt: skip
RISKS = {"on dialysis": "end-stage renal disease on haemodialysis", "kidneys not recorded": "obesity"}


@pytest.mark.parametrize("risk", RISKS.values(), ids=RISKS)
@pytest.mark.parametrize("said", ["{}", *DOUBTED])
@pytest.mark.parametrize("name", OTHER_NAMES)
def test_another_name_without_tissue_keeps_calciphylaxis_open(name: str, said: str, risk: str) -> None:
    conditions = [{"text": "painful necrotic ulcer", "sites": ["thigh"]}, {"text": risk}, {"text": said.format(name)}]
    answer = assess({"conditions": conditions})
    calciphylaxis = next(each for each in answer.types if each.type == "calciphylaxis")
    assert calciphylaxis.status.rank >= (Status.POSSIBLE if said == "{}" else Status.PROBABLE).rank
    assert answer.alarms


@pytest.mark.parametrize("found", ["Epidermal necrosis with some leukocytoclasis.", "Neutrophils and nuclear dust, no vasculitis."])
def test_broken_neutrophils_alone_are_no_vasculitis(found: str) -> None:
    biopsy = [{"code": "Skin biopsy", "conclusion": found}]
    answer = assess({"conditions": [{"text": "painful necrotic ulcer", "sites": ["thigh"]}, {"text": "obesity"}], "reports": biopsy})
    calciphylaxis = next(each for each in answer.types if each.type == "calciphylaxis")
    vasculitis = next((each for each in answer.mimics if each.mimic == "cutaneous_vasculitis"), None)
    assert calciphylaxis.status.rank >= Status.POSSIBLE.rank
    assert vasculitis is None or vasculitis.status.rank <= Status.POSSIBLE.rank


def test_neutrophils_in_a_biopsy_prove_no_pyoderma_while_infection_is_not_excluded() -> None:
    biopsy = [{"code": "Skin biopsy", "conclusion": "Ulcer with dense neutrophilic infiltrate."}]
    conditions = [{"text": "painful necrotic ulcer", "sites": ["thigh"]}, {"text": RISKS["on dialysis"]}, {"text": "pyoderma gangrenosum"}]
    calciphylaxis = next(each for each in assess({"conditions": conditions, "reports": biopsy}).types if each.type == "calciphylaxis")
    assert calciphylaxis.status.rank >= Status.POSSIBLE.rank


def test_a_note_that_names_calciphylaxis_is_no_biopsy() -> None:
    answer = assess({"conditions": [{"text": "painful necrotic ulcer", "sites": ["thigh"]}], "drugs": [{"text": "zinc", "note": "for calciphylaxis"}]})
    reasons = next(each for each in answer.types if each.type == "calciphylaxis").reasons
    assert reasons and not any("biopsy" in reason.label for reason in reasons)
