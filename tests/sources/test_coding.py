"""From codes to concepts: systems, categories, clinical drugs, and a site's own code map."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fhir_made import CODES, CONCEPTS, INDEX

from calcinosis.knowledge import load_knowledge
from calcinosis.knowledge.model import Context
from calcinosis.sources.coding import ConceptIndex, system_name
from calcinosis.sources.rxnorm import load_rxterms

BY_KEY = {concept.key: concept for concept in CONCEPTS}
ICD10CM, ICD10, ICD9CM = "http://hl7.org/fhir/sid/icd-10-cm", "http://hl7.org/fhir/sid/icd-10", "http://hl7.org/fhir/sid/icd-9-cm"
ICD10GM, ICD10AM = "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "http://hl7.org/fhir/sid/icd-10-am"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("http://snomed.info/sct", "SNOMED"), ("http://snomed.info/sct/731000124108/version/20230901", "SNOMED"),
        ("urn:oid:2.16.840.1.113883.6.96", "SNOMED"), ("SNOMED", "SNOMED"), ("http://loinc.org/", "LOINC"), ("https://loinc.org", "LOINC"),
        ("urn:oid:2.16.840.1.113883.6.1", "LOINC"), ("urn:oid:2.16.840.1.113883.6.88", "RXNORM"), ("rxnorm", "RXNORM"),
        ("urn:oid:2.16.840.1.113883.6.90", "ICD10CM"), ("ICD-10-CM", "ICD10CM"), ("urn:oid:2.16.840.1.113883.6.103", "ICD9CM"),
        (ICD10, "ICD10"), (ICD10GM, "ICD10GM"), ("http://fhir.de/CodeSystem/dimdi/icd-10-gm", "ICD10GM"), ("ICD10GM", "ICD10GM"),
        ("http://hl7.org/fhir/sid/icd-10-ca", "ICD10CA"), ("urn:oid:2.16.840.1.113883.6.135", "ICD10AM"), ("ICD-10-SE", "ICD10SE"),
        ("http://human-phenotype-ontology.org", "HPO"), ("OMOP", "OMOP"), ("http://local/codes", "http://local/codes"),
        (None, ""), ("", ""),
    ],
)  # fmt: skip
def test_system_names(spelling: str | None, name: str) -> None:
    assert system_name(spelling) == name


@pytest.mark.parametrize(
    ("system", "code", "expected"),
    [
        (ICD10CM, "L94.2", [("calcinosis_cutis", "exact")]),
        (ICD10CM, "l942", [("calcinosis_cutis", "exact")]),
        (ICD10CM, "M33.10", [("dermatomyositis", "narrower")]),  # the category M33.1 is exact, M33 only broader
        (ICD10CM, "M33.90", [("dermatomyositis", "broader")]),
        (ICD10CM, "M33.01", [("dermatomyositis_juvenile", "narrower"), ("dermatomyositis", "broader")]),
        (ICD10CM, "M3", []),
        (ICD9CM, "710.3", [("dermatomyositis", "exact")]),
        (ICD9CM, "7103", [("dermatomyositis", "exact")]),
        (ICD9CM, "710", []),
        (ICD10, "M33.1", [("dermatomyositis", "exact")]),  # the same category in both classifications
        (ICD10, "M33.9", []),  # no row says so, and categories do not spread in another classification
        (ICD10, "M33.10", []),
        (ICD10GM, "L94.2", [("calcinosis_cutis", "exact")]),
        (ICD10AM, "L94.2", [("calcinosis_cutis", "exact")]),
        (ICD10GM, "M33.10", [("dermatomyositis", "narrower")]),  # more detail below a category of WHO ICD-10
        (ICD10GM, "M33.9", []),
        (ICD10GM, "E83.59", []),  # of ICD-10-CM alone
        (ICD10, "E83.59", []),  # five characters: a refinement of ICD-10-CM
        ("http://loinc.org", "2777-1", [("phosphate", "exact")]),
        ("http://loinc.org", "2777", []),
        ("http://local/codes", "L94.2", []),
        (None, "L94.2", []),
        (ICD10CM, None, []),
    ],
)
def test_lookup(system: str | None, code: str | None, expected: list[tuple[str, str]]) -> None:
    assert list(INDEX.lookup(system, code)) == expected


@pytest.mark.parametrize("system", [ICD10, ICD10GM])
def test_a_code_that_means_something_else_in_who_icd10_is_not_read_as_of_icd10cm(system: str) -> None:
    index = ConceptIndex(load_knowledge().codes, load_knowledge().concepts)
    assert index.lookup(ICD10CM, "R65.2") == (("sepsis", "narrower"),)
    assert index.lookup(system, "R65.2") == ()


@pytest.mark.parametrize("system", [ICD10, ICD10GM, "http://fhir.de/CodeSystem/dimdi/icd-10-gm"])
def test_german_codes_of_the_diseases_are_those_of_who_icd10(system: str) -> None:
    index = ConceptIndex(load_knowledge().codes, load_knowledge().concepts)
    assert "crest_syndrome" in dict(index.lookup(system, "M34.1"))
    assert dict(index.lookup(system, "L94.2"))["calcinosis_cutis"] == "exact"


def test_codes_of_unknown_concepts_are_left_out() -> None:
    assert not ConceptIndex(CODES, {}).lookup(ICD10CM, "L94.2")


@pytest.mark.parametrize(
    ("concept", "context", "fits"),
    [
        ("warfarin", Context.DRUG, True), ("warfarin", Context.ALLERGY, False), ("penicillin_allergy", Context.ALLERGY, True),
        ("phosphate", Context.OBSERVATION, True), ("phosphate", Context.PROCEDURE, False), ("elbow", Context.SITE, True),
        ("calcinosis_cutis", Context.DRUG, False), ("haemodialysis", Context.OBSERVATION, True),
    ],
)  # fmt: skip
def test_a_code_means_its_concept_only_where_it_can(concept: str, context: Context, fits: bool) -> None:
    assert INDEX.fits(concept, context) is fits


# --- code map ------------------------------------------------------------------------------------------


def test_code_map(tmp_path: Path) -> None:
    table = write(
        tmp_path / "map.csv",
        "\ufeffsystem,code,text,concept_key\n"
        "http://lab.example,PHOS,,phosphate\n"
        ",,Anorg. Phosphat ,phosphate\n"
        "ICD-10-CM,L94.2,,calciphylaxis\n",
    )
    index = ConceptIndex(CODES, BY_KEY, code_map=table)
    assert index.lookup("http://lab.example", "PHOS") == (("phosphate", "exact"),)
    assert index.lookup("http://other.example", "PHOS") == ()
    assert index.lookup_text("anorg. phosphat") == (("phosphate", "exact"),)
    assert index.lookup_text("phosphat") == index.lookup_text(None) == ()
    assert index.lookup(ICD10CM, "L94.2")[0] == ("calciphylaxis", "exact")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("system,code,text,concept_key\nx,1,,phosphat\n", ":2: no concept 'phosphat'; did you mean phosphate?"),
        ("system,code,text,concept_key\nx,1,,phosphate\nx,2,,zzzzz\n", ":3: no concept 'zzzzz'"),
        ("system,code,text,concept_key\n,1,,phosphate\n", ":2: a code needs its system"),
        ("system,code,text,concept_key\nx,,,phosphate\n", ":2: give a code"),
        ("system,code,text,concept_key\nx\n", ":2: no concept ''"),
        ("code,concept\nx,phosphate\n", ":1: a code map has the columns system,code,text,concept_key"),
        ("", ":1: a code map has the columns"),
    ],
)
def test_code_map_errors_name_the_line(rows: str, message: str, tmp_path: Path) -> None:
    table = write(tmp_path / "map.csv", rows)
    with pytest.raises(ValueError) as error:
        ConceptIndex(CODES, BY_KEY, code_map=table)
    assert str(error.value).startswith(f"{table}{message}")


# --- RxNorm --------------------------------------------------------------------------------------------

RXTERMS = "RXCUI|INGREDIENT|ING_RXCUI\n855332|Warfarin|11289\n999|Warfarin|11289\n999|Other|1\n\n"


def test_clinical_drugs_roll_up_to_ingredients(tmp_path: Path) -> None:
    file = write(tmp_path / "RxTermsIngredients.txt", RXTERMS)
    assert load_rxterms(file) == {"855332": ("11289",), "999": ("11289", "1")}
    index = ConceptIndex(CODES, BY_KEY, rxterms=file)
    assert index.lookup(RXNORM, "855332") == index.lookup(RXNORM, "999") == (("warfarin", "narrower"),)
    assert index.lookup(RXNORM, "11289") == (("warfarin", "exact"),)
    assert index.lookup(RXNORM, "7") == ()


@pytest.mark.parametrize(
    ("text", "message"), [("a|b\n", ":1: expected the header"), ("RXCUI|INGREDIENT|ING_RXCUI\n1|x\n", ":2: expected 3 columns")]
)
def test_another_file_is_not_taken_for_rxterms(text: str, message: str, tmp_path: Path) -> None:
    file = write(tmp_path / "x.txt", text)
    with pytest.raises(ValueError) as error:
        load_rxterms(file)
    assert str(error.value).startswith(f"{file}{message}")


HEADER = "system,code,text,concept_key\n"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((HEADER + "local,1,,phosphate\n").encode("utf-16"), ":1: not UTF-8"),
        ((HEADER + "local,1,,phosphate\n").encode("utf-16-le"), ":1: not UTF-8"),
        ((HEADER + "local,1,,phosphate\nlocal,2,Verkalkung Füße,phosphate\n").encode("latin-1"), ":3: not UTF-8"),
        ((HEADER + 'local,1,,phosphate\nlocal,2,"open,phosphate\nlocal,3,,phosphate\n').encode(), ":3: a quote is opened and not closed"),
        ((HEADER + 'local,1,"a"b,phosphate\n').encode(), ":2: "),
    ],
)
def test_a_code_map_that_is_no_utf8_or_has_an_open_quote_names_the_line(data: bytes, message: str, tmp_path: Path) -> None:
    table = tmp_path / "map.csv"
    table.write_bytes(data)
    with pytest.raises(ValueError, match=re.escape(f"{table}{message}")) as caught:
        ConceptIndex(CODES, BY_KEY, code_map=table)
    assert len(str(caught.value).splitlines()) == 1


def test_the_line_of_a_row_counts_the_lines_inside_cells_before_it(tmp_path: Path) -> None:
    table = tmp_path / "map.csv"
    table.write_text(HEADER + '\nlocal,1,"two\nlines",phosphate\nlocal,2,,nothing\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r":5: no concept 'nothing'"):
        ConceptIndex(CODES, BY_KEY, code_map=table)


def test_an_rxterms_file_that_is_no_utf8_names_the_line(tmp_path: Path) -> None:
    table = tmp_path / "rxterms.txt"
    table.write_bytes("RXCUI|INGREDIENT|ING_RXCUI\n1|a|2\n3|caféine|4\n".encode("latin-1"))
    with pytest.raises(ValueError, match=re.escape(f"{table}:3: not UTF-8")):
        ConceptIndex(CODES, BY_KEY, rxterms=table)
