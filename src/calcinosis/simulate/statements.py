"""What the records say: one columnar table of statements about a block, from which every format is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import polars as pl
from numpy.typing import NDArray

from calcinosis.simulate.plan import Plan, PlannedPanel, PlannedTest
from calcinosis.simulate.population import Bools, Ints, Patients, draw_patients, whom

_ROW_BITS = 24  # rows of a block
_MINUTE_BITS = 24  # minutes within thirty years
FIRST_DAY = date(2010, 1, 1)  # no record is older
_EPOCH_MINUTE = (FIRST_DAY - date(1970, 1, 1)).days * 1440
_OWN_SHARE = 0.8  # of a value's spread that is the patient's own; the rest changes from visit to visit
_DAYS_OF_A_COURSE = 30


@dataclass(frozen=True, slots=True)
class Block:
    """One block of the population.

    ``statements``: subject Int64, visit Int64 (row of ``visits``), time Datetime, payload Int32, value Float64, ended Boolean; sorted by
    subject and time. ``visits``: subject, time. ``truth``: one row per patient.
    """

    patients: Patients
    statements: pl.DataFrame
    visits: pl.DataFrame
    truth: pl.DataFrame


@dataclass(slots=True)
class _Rows:
    visit: list[Ints] = field(default_factory=list)
    payload: list[Ints] = field(default_factory=list)
    value: list[NDArray[np.float64]] = field(default_factory=list)
    ended: list[Bools] = field(default_factory=list)
    delay: list[Ints] = field(default_factory=list)

    def add(self, visit: Ints, payload: Ints, *, value: NDArray[np.float64] | None = None, ended: Bools | None = None, delay: int) -> None:
        n = len(visit)
        self.visit.append(visit)
        self.payload.append(payload)
        self.value.append(np.full(n, np.nan) if value is None else value)
        self.ended.append(np.zeros(n, np.bool_) if ended is None else ended)
        self.delay.append(np.full(n, delay))


def draw_block(plan: Plan, seed: int, block: int, n: int, first_id: int) -> Block:
    """Draw one block from a child of the seed that depends on the number of the block only."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(block,))))
    patients = draw_patients(plan, rng, n, first_id)
    rows = _Rows()
    in_words = np.zeros(n, np.bool_)
    _draw_entries(plan, rng, patients, rows, in_words)
    for planned in plan.panels:
        _draw_panel(plan, rng, patients, planned, rows)
    statements = _table(plan, rng, patients, rows)
    visits = pl.DataFrame({"subject": patients.visit_patient + first_id, "time": patients.visit_minute * 60_000_000}).with_columns(
        pl.col("time").cast(pl.Datetime("us"))
    )
    return Block(patients, statements, visits, _truth(plan, patients, statements, in_words))


def _draw_entries(plan: Plan, rng: np.random.Generator, patients: Patients, rows: _Rows, in_words: Bools) -> None:
    counts = np.diff(patients.visit_offset)
    for order, planned in enumerate(plan.entries):
        chosen = np.flatnonzero(whom(planned.entry, patients.traits, patients.n) & (rng.random(patients.n) < planned.share))
        if planned.shows_answer:
            in_words[chosen] = True
        match planned.entry.at:
            case "first":
                visit = patients.visit_offset[chosen]
            case "lesion":
                visit = patients.lesion_visit[chosen]
            case _:
                visit = patients.visit_offset[chosen] + np.floor(rng.random(len(chosen)) * counts[chosen]).astype(np.int64)
        if planned.repeat:
            again = np.repeat(chosen, rng.poisson(planned.repeat, len(chosen)))
            later = patients.visit_offset[again] + np.floor(rng.random(len(again)) * counts[again]).astype(np.int64)
            visit = np.concatenate((visit, later))
        payload = planned.payloads.start + rng.integers(0, len(planned.payloads), len(visit))
        rows.add(visit, payload, ended=rng.random(len(visit)) < planned.ended, delay=order % 40)


def _draw_panel(plan: Plan, rng: np.random.Generator, patients: Patients, planned: PlannedPanel, rows: _Rows) -> None:
    answers = [patients.traits[key] for key, role in plan.trait_roles.items() if role in {"type", "mimic"}]
    chance = np.full(len(patients.visit_patient), planned.share)
    chance[patients.lesion_visit[np.logical_or.reduce(answers)]] = planned.at_lesion
    wanted = whom(planned.panel, patients.traits, patients.n)[patients.visit_patient]
    visit = np.flatnonzero(wanted & (rng.random(len(chance)) < chance))
    missing = plan.number(plan.simulation.value_missing)
    for test in planned.tests:
        value, spelling = _values(test, rng, patients, patients.visit_patient[visit])
        value[rng.random(len(value)) < missing] = np.nan
        rows.add(visit, test.payloads.start + spelling, value=value, delay=40)


def _values(test: PlannedTest, rng: np.random.Generator, patients: Patients, who: Ints) -> tuple[NDArray[np.float64], Ints]:
    """Values as sent, and which spelling each is sent in."""
    mean, sd = np.full(patients.n, test.mean), np.full(patients.n, test.sd)
    for condition, shifted_mean, shifted_sd in test.shifts:
        mask = whom(condition, patients.traits, patients.n)
        mean[mask], sd[mask] = shifted_mean, shifted_sd
    own = rng.standard_normal(patients.n)
    noise = rng.standard_normal(len(who))
    value = mean[who] + sd[who] * (_OWN_SHARE * own[who] + (1 - _OWN_SHARE**2) ** 0.5 * noise)
    spelling = np.searchsorted(test.limits, rng.random(len(who)), side="right")
    return np.round(np.maximum(value, test.floor) * test.factors[spelling], 2), spelling


def _table(plan: Plan, rng: np.random.Generator, patients: Patients, rows: _Rows) -> pl.DataFrame:
    visit, payload = np.concatenate(rows.visit), np.concatenate(rows.payload)
    value, ended, delay = np.concatenate(rows.value), np.concatenate(rows.ended), np.concatenate(rows.delay)
    twice = np.flatnonzero(rng.random(len(visit)) < plan.number(plan.simulation.duplicate))
    source = np.concatenate((np.arange(len(visit)), twice))
    visit = visit[source]
    minute = patients.visit_minute[visit] + delay[source]
    # one number per row, unique because the row stands in it: sorting it sorts the rows the same way on every machine
    key = patients.visit_patient[visit] << (_MINUTE_BITS + _ROW_BITS) | (minute - _EPOCH_MINUTE) << _ROW_BITS | np.arange(len(visit))
    key.sort(kind="stable")  # merges: every test and entry came in order already
    order = key & ((1 << _ROW_BITS) - 1)
    source = source[order]
    return pl.DataFrame(
        {
            "subject": patients.visit_patient[visit[order]] + patients.first_id,
            "visit": visit[order],
            "time": minute[order] * 60_000_000,
            "payload": payload[source].astype(np.int32),
            "value": value[source],
            "ended": ended[source],
        }
    ).with_columns(pl.col("time").cast(pl.Datetime("us")), pl.col("value").fill_nan(None))


def _truth(plan: Plan, patients: Patients, statements: pl.DataFrame, in_words: Bools) -> pl.DataFrame:
    n, roles = patients.n, plan.trait_roles
    wrong = pl.Series([index for index, payload in enumerate(plan.payloads) if not payload.unit_known], dtype=pl.Int32)
    rejects = statements.filter(pl.col("payload").is_in(wrong.implode()) & pl.col("value").is_not_null())["subject"].to_numpy()
    answer, mimic, subtype, disease = (np.full(n, "", "U60") for _ in range(4))
    for key, role in roles.items():
        hit = patients.traits[key]
        if role == "type":
            answer[hit] = key
            if key in patients.subtypes:
                subtype[hit] = patients.subtypes[key][hit]
        elif role == "mimic":
            mimic[hit] = key
        elif role == "disease":
            disease[hit] = np.where(disease[hit] == "", key, np.char.add(np.char.add(disease[hit], "|"), key))
    flags = {key: patients.traits[key] for key, role in roles.items() if role in {"background", "recording"}}
    return pl.DataFrame(
        {
            "subject_id": [str(i) for i in range(patients.first_id, patients.first_id + n)],
            "type": answer, "subtype": subtype, "mimic": mimic, "diseases": disease,
            "shown_in_text": in_words, "unknown_units": np.bincount(rejects - patients.first_id, minlength=n), **flags,
        }
    ).with_columns(pl.col("type", "subtype", "mimic", "diseases").replace("", None))  # fmt: skip


def course_end(time: pl.Expr) -> pl.Expr:
    """When a course that is over ended."""
    return time + pl.duration(days=_DAYS_OF_A_COURSE)
