"""Words of letters found by a nephrologist who did not know the program, and look-alikes that must stay silent."""

from __future__ import annotations

import base64

import pytest

from calcinosis.api import assess, make_readers
from calcinosis.knowledge.model import Context

READERS = make_readers()
READER = READERS.text


def concepts(text: str) -> dict[str, str]:
    """What a note says, and how sure."""
    return {mention.concept: mention.certainty for mention in READER.read(text, Context.NOTE).mentions}


def alarms(letter: str) -> set[str]:
    """Which alarms ring for a woman of whom one letter says ``letter``."""
    attached = {"contentType": "text/plain", "data": base64.b64encode(letter.encode()).decode()}
    note = {
        "resourceType": "DocumentReference",
        "id": "n",
        "status": "current",
        "subject": {"reference": "Patient/p"},
        "date": "2024-06-01T09:00:00Z",
    }
    patient = {"resourceType": "Patient", "id": "p", "gender": "female", "birthDate": "1960-01-01"}
    return {alarm.key for alarm in assess([patient, {**note, "content": [{"attachment": attached}]}], readers=READERS).alarms}


def sites(text: str, concept: str) -> set[str]:
    return {site for mention in READER.read(text, Context.NOTE).mentions if mention.concept == concept for site in mention.sites}


@pytest.mark.parametrize("text", ["GCS 15", "GCS 11", "GCS 14/15, E4V4M6", "Obs: RR 14, GCS, sats 97"])
def test_the_glasgow_coma_scale_is_no_steroid(text: str) -> None:
    assert "systemic_corticosteroid_class" not in concepts(text)


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("pyrexial overnight", "fever"),
        ("Rigors on dialysis.", "fever"),
        ("She spiked a temp of 39.2", "fever"),
        ("feverish", "fever"),
        ("temp spike last night", "fever"),
        ("drowsy", "altered_consciousness"),
        ("muddled since yesterday", "confusion"),
        ("delirious", "confusion"),
        ("patient shocked, cold peripheries", "hypotension_or_shock"),
        ("BP 80/40, shocked", "hypotension_or_shock"),
        ("?nec fasc", "necrotising_fasciitis"),
        ("NSTI of the thigh", "necrotising_fasciitis"),
        ("foreskin necrosis", "genital_necrosis"),
        ("necrosis of the foreskin", "genital_necrosis"),
        ("black spot at the tip of the penis", "genital_necrosis"),
        ("penile lesion, black", "genital_necrosis"),
        ("phallus necrotic", "genital_necrosis"),
        ("labial necrosis", "genital_necrosis"),
        ("black labia majora", "genital_necrosis"),
        ("black labial ulcers", "genital_necrosis"),
        ("Critically ischaemic R middle finger", "critical_digital_ischaemia"),
        ("critical ischaemia of the R middle finger", "critical_digital_ischaemia"),
        ("ischaemic finger", "critical_digital_ischaemia"),
        ("heavily calcified tibials", "imaging_vascular_calcification"),
        ("tibials heavily calcified", "imaging_vascular_calcification"),
        ("calcified femorals", "imaging_vascular_calcification"),
        ("calcified popliteals", "imaging_vascular_calcification"),
        ("calcified crural vessels", "imaging_vascular_calcification"),
        ("calcified digital arteries", "imaging_vascular_calcification"),
        ("broken net-like livedo", "livedo_racemosa"),
        ("branching livedo", "livedo_racemosa"),
    ],
)
def test_words_that_letters_use_are_read(text: str, concept: str) -> None:
    certainty = concepts(text)[concept]
    assert certainty == ("uncertain" if text.startswith("?") else "affirmed")


@pytest.mark.parametrize(
    ("text", "concept"),
    [
        ("apyrexial", "fever"),
        ("rigor mortis", "fever"),
        ("cogwheel rigor", "fever"),
        ("gabapentin made her drowsy", "altered_consciousness"),
        ("non drowsy antihistamine", "altered_consciousness"),
        ("muddled up her tablets", "confusion"),
        ("She was shocked to hear the diagnosis", "hypotension_or_shock"),
        ("shocked out of AF", "hypotension_or_shock"),
        ("DC shocked out of VF", "hypotension_or_shock"),
        ("shock wave therapy", "hypotension_or_shock"),
        ("NF1, café-au-lait spots, NF", "necrotising_fasciitis"),
        ("48 year old Black man with a penile lesion", "genital_necrosis"),
        ("Penile melanosis", "genital_necrosis"),
        ("labial salivary gland biopsy", "genital_necrosis"),
        ("critical limb ischaemia with toe ulcer", "critical_digital_ischaemia"),
        ("ischaemic finger ulcers", "critical_digital_ischaemia"),
        ("ischaemic heart disease; finger clubbing", "critical_digital_ischaemia"),
        ("calcified tibial tuberosity", "imaging_vascular_calcification"),
        ("calcified femoral head", "imaging_vascular_calcification"),
        ("calcified nodules over the tibial region", "imaging_vascular_calcification"),
        ("net-like livedo", "livedo_racemosa"),
        ("lump with chalky discharge", "purulent_discharge"),
        ("lump with chalky discharge", "local_infection"),
    ],
)
def test_look_alikes_stay_silent(text: str, concept: str) -> None:
    assert concept not in concepts(text)


@pytest.mark.parametrize(
    ("text", "concept"), [("no rigors", "fever"), ("not drowsy", "altered_consciousness"), ("not shocked", "hypotension_or_shock")]
)
def test_what_is_denied_is_denied(text: str, concept: str) -> None:
    assert concepts(text)[concept] == "negated"


@pytest.mark.parametrize(
    "text",
    [
        "postural hypotension",
        "orthostatic hypotension",
        "intradialytic hypotension",
        "midodrine for hypotension",
        "midodrine for intradialytic hypotension",
    ],
)
def test_low_pressure_on_standing_or_dialysis_is_not_that_of_sepsis(text: str) -> None:
    assert set(concepts(text)) == {"hypotension_of_posture_or_dialysis"}


@pytest.mark.parametrize("text", ["heavily calcified tibials", "calcified femorals", "calcified popliteals", "tibials calcified"])
def test_calcified_arteries_are_no_calcified_soft_tissue(text: str) -> None:
    assert "calcification" not in concepts(text)


@pytest.mark.parametrize(
    "text", ["The lump over her left elbow has been red, hot and discharging for 3 days", "red hot discharging lump", "nodule hot and red"]
)
def test_a_red_and_hot_lump_is_red_as_well_as_hot(text: str) -> None:
    assert concepts(text)["red_warm_lesion"] == "affirmed"


def test_a_dead_foreskin_is_on_the_penis() -> None:
    assert sites("foreskin necrosis", "genital_necrosis") == sites("phallus necrotic", "genital_necrosis") == {"penis"}


@pytest.mark.parametrize(
    "lesion",
    [
        "foreskin necrosis", "necrosis of the foreskin", "black spot at the tip of the penis", "penile lesion, black", "phallus necrotic", "labial necrosis",
        "black labia majora", "black labial ulcers",
    ],
)  # fmt: skip
def test_dead_genital_skin_on_dialysis_rings(lesion: str) -> None:
    assert "calciphylaxis_of_the_genitals" in alarms(f"ESRD on haemodialysis. {lesion[0].upper()}{lesion[1:]}.")


@pytest.mark.parametrize(
    "lump", ["The lump over her left elbow has been red, hot and discharging for 3 days.", "Red hot discharging lump at the elbow."]
)
def test_a_red_hot_lump_over_a_deposit_rings_as_infected(lump: str) -> None:
    assert "infected_calcinosis" in alarms(f"Calcinosis cutis of the elbows. {lump}")


def test_chalk_from_a_lump_does_not_ring_as_infected() -> None:
    assert "infected_calcinosis" not in alarms("Calcinosis cutis of the elbows. Lump with chalky discharge.")


@pytest.mark.parametrize(
    ("said", "rings"),
    [
        ("patient shocked, cold peripheries", True),
        ("hypotensive", True),
        ("drowsy", True),
        ("intradialytic hypotension", False),
        ("postural hypotension", False),
    ],
)
def test_sepsis_rings_for_shock_and_not_for_low_pressure_on_standing_or_dialysis(said: str, *, rings: bool) -> None:
    assert ("suspected_sepsis" in alarms(f"Leg ulcer. {said[0].upper()}{said[1:]}.")) is rings


@pytest.mark.parametrize("context", [Context.NOTE, Context.CONDITION, Context.PROCEDURE])
def test_the_coma_scale_as_a_whole_entry_is_no_steroid(context: Context) -> None:
    assert not READER.read("GCS", context).mentions
