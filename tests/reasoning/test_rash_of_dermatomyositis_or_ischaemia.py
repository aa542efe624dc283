"""Violaceous skin: a sign of dermatomyositis by its place and words, or ischaemia; neither may hide the other."""

from __future__ import annotations

import pytest
from small_records import CALCIUM_SHOWN, Resource, ask, lab, says, status

from calcinosis.api import make_readers
from calcinosis.assessment import Assessment
from calcinosis.knowledge.criteria import Status
from calcinosis.knowledge.model import Context

RISKS = (says("diabetes mellitus"), says("lung cancer"), says("calcinosis cutis", at="elbow"), says("firm nodules", at="elbow"))
ALARM = "suspected_calciphylaxis"


def alarms(answer: Assessment) -> set[str]:
    return {each.key for each in answer.alarms}


def named(answer: Assessment) -> dict[str, str]:
    return {each.disease: each.status for each in answer.diseases}


def read(text: str) -> set[str]:
    return {mention.concept for mention in make_readers().text.read(text, Context.CONDITION).mentions if mention.certainty == "affirmed"}


HELIOTROPE = (
    "Violet oedematous erythema of the upper eyelids", "violaceous edema of the eyelids", "purple swollen upper eyelids",
    "lilac discoloration of upper eyelids", "Violaceous periocular patches with eyelid oedema", "Violaceous upper eyelids",
    "purplish erythema around the eyes", "livid erythema of both eyelids", "Heliotrope rash",
)  # fmt: skip
GOTTRON = (
    "Violaceous papules over the knuckles", "violaceous papules over the MCP joints", "purple papules on the dorsal finger joints",
    "erythemato-violaceous papules on the extensor aspect of the finger joints", "Gottron's papules",
)  # fmt: skip
GOTTRON_SIGN = ("violaceous erythema over the metacarpophalangeal joints", "violaceous macules on the extensor elbows and knees", "Gottron sign")
OTHER_SIGNS = (
    "violaceous rash in a shawl distribution", "Violaceous shawl-distribution rash", "violaceous erythema in the V of the neck",
    "mechanic's hands", "mechanics hands", "holster sign", "hyperkeratotic fissures of the lateral fingers",
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "concept"),
    [(text, "heliotrope_rash") for text in HELIOTROPE]
    + [(text, "gottron_papules") for text in GOTTRON]
    + [(text, "gottron_sign") for text in GOTTRON_SIGN]
    + [(text, "dermatomyositis_rash") for text in OTHER_SIGNS],
)
def test_signs_are_read_in_the_words_of_a_hospital(text: str, concept: str) -> None:
    assert concept in read(text)


@pytest.mark.parametrize(
    "text",
    [
        "violaceous nodule of the upper eyelid", "purple bruising of the left eyelid", "periorbital purpura", "erythema of the eyelids",
        "violaceous plaques of the thighs", "dusky fingers", "violaceous fingertips", "erythematous scaly papules over the knuckles",
        "violaceous nodules of the fingers", "purple patches on the dorsal hands", "car mechanic with a hand injury", "shawl scrotum",
    ],
)  # fmt: skip
def test_other_skin_is_not_read_as_such_a_sign(text: str) -> None:
    assert not read(text) & {"heliotrope_rash", "gottron_papules", "gottron_sign", "dermatomyositis_rash"}


def test_a_denied_sign_is_denied() -> None:
    assert not read("no violaceous discoloration of the eyelids, no violaceous papules over the knuckles")


@pytest.mark.parametrize(
    "lesion",
    [
        says("Violaceous papules over the knuckles"), says("Violaceous upper eyelids"), says("Violaceous periocular patches"),
        says("Violaceous shawl-distribution rash"), says("violaceous oedema", at="upper eyelid"), says("violaceous papules", at="knuckles"),
    ],
)  # fmt: skip
def test_a_sign_of_dermatomyositis_is_no_ischaemic_lesion(lesion: Resource) -> None:
    answer = ask(*RISKS, lesion)
    assert status(answer, "calciphylaxis").rank < Status.POSSIBLE.rank
    assert status(answer, "calciphylaxis") is not Status.EXCLUDED
    assert ALARM not in alarms(answer)


@pytest.mark.parametrize(
    "lesion",
    [says("Violaceous upper eyelids"), says("violaceous oedema", at="upper eyelid"), says("violaceous rash in a shawl distribution")],
)
def test_nor_is_it_one_on_dialysis_while_nothing_hurts(lesion: Resource) -> None:
    answer = ask(*RISKS, says("end-stage renal disease on haemodialysis"), lesion)
    assert status(answer, "calciphylaxis").rank < Status.PROBABLE.rank


@pytest.mark.parametrize("site", ["thigh", "abdomen", "breast", "buttock", "calf", "toe", "finger", "fingertip"])
def test_violaceous_skin_elsewhere_stays_ischaemic(site: str) -> None:
    answer = ask(*RISKS, says("painful violaceous plaques", at=site))
    assert status(answer, "calciphylaxis").rank >= Status.PROBABLE.rank
    assert ALARM in alarms(answer)


@pytest.mark.parametrize("site", ["thigh", "abdomen", "breast", "buttock", "calf"])
@pytest.mark.parametrize("explained", ["dermatomyositis", "Violaceous upper eyelids", "Violaceous papules over the knuckles", "Gottron's papules"])
def test_dermatomyositis_does_not_explain_painful_violaceous_plaques_there(site: str, explained: str) -> None:
    answer = ask(*RISKS, says(explained), says("painful violaceous plaques", at=site))
    assert status(answer, "calciphylaxis").rank >= Status.PROBABLE.rank
    assert ALARM in alarms(answer)


def test_violaceous_eyelids_beside_painful_skin_keep_calciphylaxis_open_on_dialysis() -> None:
    answer = ask(*RISKS, says("end-stage renal disease on haemodialysis"), says("Violaceous upper eyelids"), says("painful violaceous plaques"))
    assert status(answer, "calciphylaxis").rank >= Status.PROBABLE.rank


def test_a_violaceous_rash_of_dermatomyositis_is_still_explained_by_it() -> None:
    answer = ask(*RISKS, says("dermatomyositis"), says("violaceous rash"))
    assert status(answer, "calciphylaxis").rank < Status.POSSIBLE.rank


def test_two_signs_in_words_suspect_the_disease() -> None:
    answer = ask(CALCIUM_SHOWN, says("Violaceous upper eyelids"), says("violaceous papules over the MCP joints"))
    assert named(answer)["dermatomyositis"] == "suspected"


def test_signs_given_by_body_site_suspect_it_too() -> None:
    answer = ask(CALCIUM_SHOWN, says("violaceous oedema", at="upper eyelid"), says("violaceous papules", at="knuckles"))
    assert named(answer)["dermatomyositis"] == "suspected"


def test_a_sign_and_trouble_with_stairs_suspect_it() -> None:
    answer = ask(CALCIUM_SHOWN, says("lilac discoloration of upper eyelids"), says("difficulty climbing stairs"))
    assert named(answer)["dermatomyositis"] == "suspected"
    walking = ask(CALCIUM_SHOWN, says("lilac discoloration of upper eyelids"), says("difficulty walking"))
    assert "dermatomyositis" not in named(walking)


@pytest.mark.parametrize(
    "text",
    [
        "difficulty climbing stairs", "difficulty walking and climbing stairs", "difficulty walking, climbing stairs, rising from a chair",
        "difficulty rising from a chair", "unable to get up from the floor", "trouble lifting the arms", "difficulty combing her hair",
    ],
)  # fmt: skip
def test_tasks_of_proximal_muscles_say_weakness(text: str) -> None:
    assert "muscle_weakness" in read(text)


@pytest.mark.parametrize("text", ["difficulty walking", "walks with difficulty", "shortness of breath on climbing stairs", "able to climb stairs"])
def test_walking_or_breath_alone_does_not(text: str) -> None:
    assert "muscle_weakness" not in read(text)


def test_telangiectasia_of_the_nail_folds_counts_once() -> None:
    assert read("periungual telangiectasias") == read("telangiectasia of the nail folds") == {"nailfold_capillary_abnormality"}
    assert read("telangiectasia of the face") == {"telangiectasia"}


@pytest.mark.parametrize("text", ["firm skin-coloured papules", "firm skin papules", "firm skin nodules", "firm skin-colored nodules"])
def test_firm_lesions_of_the_colour_of_skin_are_no_induration(text: str) -> None:
    assert "induration" not in read(text)
    assert read(text) & {"papule", "nodule"}


def test_firm_skin_itself_is() -> None:
    assert "induration" in read("firm skin over the legs")


def test_dm_alone_names_no_disease() -> None:
    answer = ask(CALCIUM_SHOWN, says("DM"))
    assert named(answer) == {}
    assert not read("HTN, DM, CKD") & {"diabetes_mellitus", "dermatomyositis"}


@pytest.mark.parametrize("text", ["type 2 DM", "DM2", "T2DM", "insulin-dependent DM", "DM type II", "type II DM", "DM on insulin"])
def test_dm_that_can_only_be_diabetes(text: str) -> None:
    assert "diabetes_mellitus" in read(text)
    assert "dermatomyositis" not in read(text)


@pytest.mark.parametrize(
    "text", ["DM on methotrexate", "anti-MDA5 DM", "anti-MDA5-positive DM", "anti-NXP2 DM", "DM (skin and muscle)", "amyopathic DM", "juvenile DM"]
)
def test_dm_that_can_only_be_dermatomyositis(text: str) -> None:
    assert any(concept.startswith("dermatomyositis") for concept in read(text))
    assert "diabetes_mellitus" not in read(text)


@pytest.mark.parametrize("text", ["DM on prednisone", "DM on mycophenolate", "DM skin ulcer", "DM with calcinosis"])
def test_dm_that_may_be_either_is_left_open(text: str) -> None:
    assert not read(text) & {"diabetes_mellitus", "dermatomyositis"}


def test_dm_beside_one_sign_is_suspected_unless_diabetes_is_on_record() -> None:
    sign = says("mechanic's hands")
    assert named(ask(CALCIUM_SHOWN, says("DM"), sign))["dermatomyositis"] == "suspected"
    assert "dermatomyositis" not in named(ask(CALCIUM_SHOWN, says("DM"), sign, says("type 2 diabetes")))
    assert "dermatomyositis" not in named(ask(CALCIUM_SHOWN, says("DM"), says("muscle weakness")))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("SLE / dermatomyositis overlap", {"systemic_lupus_erythematosus", "dermatomyositis"}),
        ("SSc/PM overlap", {"systemic_sclerosis", "polymyositis"}),
        ("SSc/DM overlap", {"systemic_sclerosis", "dermatomyositis"}),
        ("scleroderma-polymyositis overlap", {"systemic_sclerosis", "polymyositis"}),
        ("overlap of systemic sclerosis and rheumatoid arthritis", {"systemic_sclerosis", "rheumatoid_arthritis"}),
        ("SLE-Sjögren overlap", {"systemic_lupus_erythematosus", "sjogren_syndrome"}),
        ("overlap syndrome (SLE, scleroderma)", {"systemic_lupus_erythematosus", "systemic_sclerosis"}),
        ("rhupus", {"systemic_lupus_erythematosus", "rheumatoid_arthritis"}),
    ],
)
def test_an_overlap_is_named_beside_its_parts(text: str, parts: set[str]) -> None:
    answer = ask(CALCIUM_SHOWN, says(text))
    assert {"overlap_syndrome"} | parts <= {disease for disease, how in named(answer).items() if how == "established"}
    assert status(answer, "dystrophic").rank >= Status.PROBABLE.rank


def test_a_doubtful_overlap_establishes_nothing() -> None:
    assert "established" not in named(ask(CALCIUM_SHOWN, says("possible SSc/PM overlap"))).values()


@pytest.mark.parametrize("text", ["antisynthetase syndrome", "immune-mediated necrotising myopathy", "discoid lupus erythematosus", "cutaneous lupus"])
def test_a_disease_without_an_entry_is_a_connective_tissue_disease_and_stands_for_no_other(text: str) -> None:
    answer = ask(CALCIUM_SHOWN, says(text))
    assert status(answer, "dystrophic").rank >= Status.PROBABLE.rank
    assert named(answer).keys() <= {"other_inflammatory_myopathy", "other_connective_tissue_disease"}


def test_antisynthetase_syndrome_with_a_skin_sign_and_weakness_is_suspected_dermatomyositis() -> None:
    answer = ask(says("antisynthetase syndrome"), says("Gottron's papules"), says("proximal muscle weakness"), lab("anti-Jo-1", "POS"))
    assert named(answer)["dermatomyositis"] == "suspected"


def test_sicca_syndrome_is_no_sjogren_syndrome() -> None:
    assert named(ask(CALCIUM_SHOWN, says("sicca syndrome"))) == {}


def test_a_violaceous_nodule_of_an_eyelid_is_no_heliotrope_rash() -> None:
    answer = ask(says("violaceous nodule", at="upper eyelid"), says("proximal muscle weakness"))
    assert "dermatomyositis" not in named(answer)


@pytest.mark.parametrize("site", ["knuckles", "fingers"])
def test_indurated_violaceous_fingers_on_dialysis_stay_ischaemic_beside_a_heliotrope_rash(site: str) -> None:
    answer = ask(says("end-stage renal disease on haemodialysis"), says("heliotrope rash"), says("violaceous indurated plaques", at=site))
    assert status(answer, "calciphylaxis").rank >= Status.PROBABLE.rank
