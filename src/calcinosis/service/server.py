"""Runs the application with uvicorn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import uvicorn
import yaml
from pydantic import ValidationError

from calcinosis.service.app import make_app
from calcinosis.service.settings import Settings
from calcinosis.service.work import settle_memory

_GRACE: Final = 20  # seconds that running requests are given at shutdown


def read_settings(file: Path | None, given: Mapping[str, Any]) -> Settings:
    """Options over file over environment over defaults.

    Raises:
        ValueError: naming each setting that cannot be used.
    """
    told: Any = yaml.safe_load(file.read_text(encoding="utf-8")) if file else {}
    if not isinstance(told, dict | None):
        raise ValueError(f"{file}: settings are a mapping")
    unknown = sorted(set(told or {}) - set(Settings.model_fields))
    if unknown:
        raise ValueError(f"{file}: no setting {', '.join(map(str, unknown))}; the settings are {', '.join(Settings.model_fields)}")
    try:
        return Settings(**{**(told or {}), **given})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}".removeprefix(": ") for each in error.errors(include_input=False)]
        raise ValueError("; ".join(lines)) from None


def run(file: Path | None, given: Mapping[str, Any]) -> None:
    """Serve until told to stop; running requests are finished first."""
    settings = read_settings(file, given)
    app = make_app(settings)
    settle_memory()
    uvicorn.run(
        app, host=settings.host, port=settings.port, access_log=False, server_header=False,
        timeout_graceful_shutdown=_GRACE, timeout_keep_alive=30, h11_max_incomplete_event_size=65_536,
        proxy_headers=True, forwarded_allow_ips="127.0.0.1,::1",
    )  # fmt: skip
