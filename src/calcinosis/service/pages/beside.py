"""What was entered beside a record, read with it as one patient. Run by a worker."""

from __future__ import annotations

from typing import Final

import orjson
import polars as pl

from calcinosis.api import Readers
from calcinosis.events import REJECT_SCHEMA, Batch
from calcinosis.service.pages.form_record import PATIENT
from calcinosis.sources.fhir import read_resources

HERE: Final = "entered here"  # the source of an entered fact; no resource of a record is called so
_PERSON: Final = {"birth_date": "birth date", "sex": "sex"}


def with_entered(record: Batch | None, entered: bytes, readers: Readers) -> Batch:
    """One patient: the record, and what the form says.

    Birth date and sex are those of the record where it gives them; if the form says otherwise, a warning does too.

    Args:
        record: of exactly one patient; None: there is only the form.
        entered: JSON list of FHIR resources (:mod:`~calcinosis.service.pages.form_record`); may be empty beside a record.
    """
    resources = orjson.loads(entered)
    if not resources and record is not None:
        return record
    here = read_resources(resources, readers.index, readers.text)
    subject = HERE if record is None else record.patients["subject_id"][0]
    source = pl.col("source").str.replace(rf"^[A-Za-z]+/{PATIENT}-([^.]*).*$", f"{HERE}/${{1}}")
    events = here.events.with_columns(source, pl.lit(subject).alias("subject_id"))
    if record is None:
        here.patients, here.events = here.patients.with_columns(pl.lit(subject).alias("subject_id")), events
        return here
    people, said = record.patients, here.patients
    known = [pl.coalesce(name, pl.lit(said[name][0], dtype=said.schema[name])).alias(name) for name in _PERSON]
    differ = [
        words for name, words in _PERSON.items()
        if people[name][0] is not None and said[name][0] is not None and _differ(name, people, said)
    ]  # fmt: skip
    why = "the record says another {}; that of the record is used"
    rows = [(None, None, HERE, "warning", "entered_differs", why.format(words)) for words in differ]
    return Batch(
        patients=people.with_columns(known),
        events=pl.concat([record.events, events]),
        rejects=pl.concat([record.rejects, here.rejects, pl.DataFrame(rows, schema=REJECT_SCHEMA, orient="row")]),
        unmapped=pl.concat([record.unmapped, here.unmapped]),
        records_read=record.records_read + here.records_read,
        records_used=record.records_used + here.records_used,
        records_ignored=record.records_ignored + here.records_ignored,
        records_rejected=record.records_rejected + here.records_rejected,
        not_read=record.not_read,
    )


def _differ(name: str, people: pl.DataFrame, said: pl.DataFrame) -> bool:
    """A year apart is no difference: an age in years is not a birth date."""
    if name == "sex":
        return bool(people[name][0] != said[name][0])
    return bool(abs((people[name][0] - said[name][0]).days) > 400)
