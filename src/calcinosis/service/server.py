"""Runs the application with uvicorn."""

from __future__ import annotations

import errno
import os
import socket
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


def check_address(host: str, port: int) -> None:
    """Raises: ValueError: nobody can listen there, and why. One address of a name is enough: a machine may lack IPv6."""
    try:
        places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ValueError(f"{host}: {error.strerror or error}") from None
    failed: list[OSError] = []
    for family, kind, protocol, _, address in places:
        try:
            with socket.socket(family, kind, protocol) as probe:
                if os.name == "posix":  # a port that a service left a moment ago is free
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            failed.append(error)
    if any(error.errno == errno.EADDRINUSE for error in failed):
        raise ValueError(f"port {port} is in use")
    if len(failed) == len(places):
        raise ValueError(f"{host} port {port}: {failed[0].strerror or failed[0]}")


def run(file: Path | None, given: Mapping[str, Any]) -> None:
    """Serve until told to stop; running requests are finished first.

    Raises:
        ValueError: a setting that cannot be used, or an address at which nobody can listen.
    """
    settings = read_settings(file, given)
    check_address(settings.host, settings.port)
    app = make_app(settings)
    settle_memory()
    uvicorn.run(
        app, host=settings.host, port=settings.port, access_log=False, server_header=False,
        timeout_graceful_shutdown=_GRACE, timeout_keep_alive=30, h11_max_incomplete_event_size=65_536,
        proxy_headers=True, forwarded_allow_ips="127.0.0.1,::1",
    )  # fmt: skip
