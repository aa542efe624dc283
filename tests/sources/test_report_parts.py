"""The clinical details of a report are what a clinician wrote; the rest is what the study showed."""

from __future__ import annotations

import pytest

from calcinosis.api import make_readers
from calcinosis.knowledge.model import Context

READER = make_readers().text


def said(text: str, context: Context = Context.HISTOLOGY) -> dict[str, str]:
    return {each.concept: each.certainty for each in READER.read(text, context).mentions}


@pytest.mark.parametrize(
    "text",
    [
        "Clinical details: 62F, ESRD on haemodialysis, warfarin. ?calciphylaxis\nMacroscopy: ellipse 20 x 9 mm\nMicroscopy: Calcification of small arteries.",
        "CLINICAL HISTORY\nESRD on haemodialysis.\nTakes warfarin, painful\nulcers. ?calciphylaxis\n\nMICROSCOPIC DESCRIPTION\nCalcification of small arteries.",
        "Clinical information - ESRD on haemodialysis, warfarin. ?calciphylaxis. Microscopic description: calcification of small arteries.",
        "**Clinical details**\nESRD on haemodialysis, warfarin, ?calciphylaxis\n**Diagnosis**\nCalcification of small arteries.",
    ],
)
def test_drugs_and_dialysis_of_the_request_are_read(text: str) -> None:
    found = said(text)
    assert (found["dialysis_dependence"], found["warfarin"]) == ("affirmed", "affirmed")
    assert found["calciphylaxis"] == "uncertain"
    assert found["histology_vessel_calcification"] == "affirmed"


def test_a_report_whose_parts_cannot_be_told_apart_is_read_as_a_report() -> None:
    text = "Clinical details: painful ulcer on warfarin. The arterioles of the fat are calcified."
    assert said(text)["histology_vessel_calcification"] == "affirmed"


def test_details_end_at_an_empty_line() -> None:
    found = said("Pre-operative diagnosis\n\nulcer, takes warfarin\n\nTHIGH LEFT, PUNCH\nWarfarin necrosis is excluded; features consistent with\ncalciphylaxis.\n\nComment: none")
    assert (found["warfarin"], found["histology_calciphylaxis"]) == ("affirmed", "affirmed")


def test_places_in_the_text_stay_true() -> None:
    text = "Indication: warfarin.\nFindings: Sheet-like calcification.\nHistory: haemodialysis.\nImpression: Calcification of the thigh."
    for each in READER.read(text, Context.IMAGING).mentions:
        assert text[each.start : each.end] == each.phrase
    assert {"warfarin", "haemodialysis", "sheet_like_calcification"} <= set(said(text, Context.IMAGING))


def test_values_of_the_request_are_read() -> None:
    reading = READER.read("Clinical details: PTH 1,450 pg/mL.\nMicroscopy: fat necrosis, 4.5 mg/dL", Context.HISTOLOGY)
    assert [(value.concept, value.number) for value in reading.values] == [("pth_intact", 1450.0)]
