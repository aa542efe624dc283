"""Options of a population are those of one patient: as rows, from the folder, and in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from calcinosis.api import assess, make_readers, screen
from calcinosis.contract import Assessment, OptionOut
from calcinosis.report.cohort_folder import CohortFolder
from calcinosis.report.cohort_patient import retell

CASES = Path(__file__).parents[2] / "examples" / "published_cases" / "bundles"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> CohortFolder:
    out = tmp_path_factory.mktemp("screened")
    screen(CASES, out, readers=make_readers())
    return CohortFolder(out, make_readers().knowledge)


def alone(case: Path) -> Assessment:
    return assess(case, readers=make_readers())


def without_what_is_lacking(option: OptionOut) -> OptionOut:
    """What an unchecked rule lacks is told for one patient, and not stored for many."""
    return option.model_copy(update={"not_checked": [each.model_copy(update={"missing": []}) for each in option.not_checked]})


@pytest.mark.parametrize("case", [pytest.param(path, id=path.stem) for path in sorted(CASES.glob("*.json"))])
def test_stored_options_say_what_the_assessment_of_one_patient_says(case: Path, folder: CohortFolder) -> None:
    answer = alone(case)
    stored = folder.patient(answer.patient_id)
    assert stored is not None
    told = retell(stored, folder.knowledge).assessment.options
    assert [(each.type, each.place, each.treatment) for each in told] == [(each.type, each.place, each.treatment) for each in answer.options]
    for one, other in zip(told, answer.options, strict=True):
        assert one == without_what_is_lacking(other), one.treatment
