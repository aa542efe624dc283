"""What the file of the entry form may say: which concepts are asked for, in which order and how."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from calcinosis.knowledge.criteria import Closed


class FormGroup(Closed):
    """Questions of the entry form that stand together.

    ``placed``: a yes stands at the marked sites. ``states``: what a marked site shows to be there.
    """

    key: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    label: str
    kind: Literal["choices", "results", "sites", "drugs"]
    concepts: tuple[str, ...] = Field(min_length=1)
    placed: bool = False
    states: str | None = None
    folded: bool = Field(False, description="closed until somebody opens it")

    @model_validator(mode="after")
    def states_what_a_site_shows(self) -> FormGroup:
        if (self.kind == "sites") != (self.states is not None):
            raise ValueError(f"form group {self.key}: sites, and only sites, say what they show (states)")
        return self
