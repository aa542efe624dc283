"""An exposure is confirmed as the cause only where the calcium lies, not by another lesion that shares its place."""

from __future__ import annotations

from small_records import Resource, ask, says, status

from calcinosis.knowledge.criteria import Status


def infusion(site: str) -> Resource:
    return {
        "resourceType": "Procedure", "status": "completed", "performedDateTime": "2024-05-20", "code": {"text": "calcium gluconate infusion"},
        "bodySite": [{"text": site}],
    }  # fmt: skip


def histology(site: str) -> Resource:
    return {
        "resourceType": "Observation", "status": "final", "effectiveDateTime": "2024-06-01", "code": {"text": "skin biopsy"},
        "valueString": "calcium deposits in the dermis", "bodySite": {"text": site},
    }  # fmt: skip


def test_calcium_at_the_infused_site_is_confirmed() -> None:
    answer = ask(infusion("forearm"), says("nodule", at="forearm"), says("calcinosis cutis", at="forearm"))
    assert status(answer, "iatrogenic") is Status.CONFIRMED


def test_calcium_at_the_elbow_and_a_nodule_at_the_infused_thigh_are_not_confirmed() -> None:
    answer = ask(infusion("thigh"), says("nodule", at="thigh"), says("calcinosis cutis", at="elbow"))
    assert status(answer, "iatrogenic").rank < Status.CONFIRMED.rank


def test_calcium_at_both_places_is_confirmed() -> None:
    answer = ask(infusion("thigh"), says("nodule", at="thigh"), says("calcinosis cutis", at="elbow"), histology("thigh"))
    assert status(answer, "iatrogenic") is Status.CONFIRMED


def test_calcium_whose_place_is_not_recorded_is_taken_for_the_lesion_that_is_known() -> None:
    answer = ask(infusion("thigh"), says("nodule", at="thigh"), says("calcinosis cutis"))
    assert status(answer, "iatrogenic") is Status.CONFIRMED


def test_an_injury_beside_another_lesion_is_no_cause_of_calcium_elsewhere() -> None:
    hurt, lump = says("trauma", at="thigh"), says("nodule", at="thigh")
    apart, together = (ask(hurt, lump, says("calcinosis cutis", at=site)) for site in ("elbow", "thigh"))
    assert status(apart, "dystrophic").rank < status(together, "dystrophic").rank
