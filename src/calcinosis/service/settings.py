"""What an operator can set: environment variables ``CALCINOSIS_...``, a file named by ``calcinosis serve --settings``, or options."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_ORIGIN: Final = re.compile(r"https?://(\*\.)?[A-Za-z0-9.-]+(:[0-9]{1,5})?")


class CdsClient(BaseModel):
    """One EHR that may call the CDS services. Its keys come from ``jku`` or from a file, as agreed beforehand."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    iss: str = Field(min_length=1)
    jku: str | None = Field(default=None, description="URL of the client's JWK Set; a token may name no other")
    jwks_file: Path | None = None

    @model_validator(mode="after")
    def has_keys(self) -> CdsClient:
        if (self.jku is None) == (self.jwks_file is None):
            raise ValueError(f"CDS client {self.iss}: give exactly one of jku and jwks_file")
        if self.jku is not None and not is_safe_url(self.jku):
            raise ValueError(f"CDS client {self.iss}: jku must be https beyond loopback")
        return self


class SmartServer(BaseModel):
    """One FHIR server that may launch this service as a SMART app, as registered there.

    Without a secret and a key the registration is that of a public client.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(min_length=1, description="base URL of the FHIR server, exactly as it stands in ``iss`` of a launch")
    client_id: str = Field(min_length=1)
    name: str | None = Field(default=None, description="what a clinician calls it; default: its host")
    client_secret_file: Path | None = None
    private_key_file: Path | None = Field(default=None, description="PEM or JWK; RSA or EC P-384")
    scopes: tuple[str, ...] | None = Field(default=None, description="of the data, instead of those that the searches need")

    @model_validator(mode="after")
    def can_be_used(self) -> SmartServer:
        if not is_safe_url(self.issuer):
            raise ValueError(f"SMART server {self.issuer}: only https beyond loopback")
        if self.client_secret_file and self.private_key_file:
            raise ValueError(f"SMART server {self.issuer}: give client_secret_file or private_key_file, not both")
        for file in filter(None, (self.client_secret_file, self.private_key_file)):
            if not file.is_file():
                raise ValueError(f"SMART server {self.issuer}: {file} is not a file")
        if self.private_key_file:
            from calcinosis.service.smart_keys import read_private_key

            read_private_key(self.private_key_file)
        return self

    @property
    def label(self) -> str:
        return self.name or urlsplit(self.issuer).netloc


class Settings(BaseSettings):
    """All settings, with the defaults of a test on one's own machine."""

    model_config = SettingsConfigDict(env_prefix="CALCINOSIS_", frozen=True, extra="ignore")

    # where
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    public_url: str = Field(default="", description="address that clients use; default http://host:port")
    app_url: str | None = Field(default=None, description="page that a card links to")
    smart_launch_url: str | None = Field(default=None, description="SMART launch URL that a card links to; default: ours if smart is set")
    frame_ancestors: tuple[str, ...] = Field(default=(), description="origins of EHRs that may show the pages in a frame")
    cors_origins: tuple[str, ...] = Field(default=(), description="origins whose scripts may call /cds-services; no other address")

    # who
    cds_clients: tuple[CdsClient, ...] = ()
    oidc_issuer: str | None = None
    oidc_audience: str | None = None
    oidc_jwks_url: str | None = Field(default=None, description="default: as the issuer's discovery document says")
    smart: tuple[SmartServer, ...] = Field(default=(), description="FHIR servers that may launch this service as a SMART app")
    metrics_token: str | None = None
    require_authentication: bool = Field(default=False, description="also on loopback, for instance behind a reverse proxy")

    # how much
    workers: Annotated[int, Field(ge=0, le=64)] = Field(default=1, description="processes that assess; 0: a thread of this process")
    together: Annotated[int, Field(ge=1, le=64)] = Field(default=8, description="waiting records that one worker assesses at once")
    max_body_bytes: int = Field(default=8_000_000, description="of a request, after decompression")
    max_depth: int = 64
    max_entries: int = 5_000
    max_orders: int = 50
    max_waiting: int = 200
    seconds_per_request: float = 20.0
    seconds_per_body: Annotated[float, Field(gt=0)] = Field(default=30.0, description="in which the body of a request must have arrived")
    requests_per_second: float = Field(default=100.0, description="per client, on average")
    burst: int = 200

    # FHIR servers
    fhir_servers: tuple[str, ...] = Field(default=(), description="base URLs that may be asked for what a prefetch lacks")
    fhir_seconds: float = 5.0
    fhir_pages: int = 10
    fhir_bytes: int = 8_000_000

    # what
    code_map: Path | None = None
    rxterms: Path | None = None
    audit_log: Path | None = Field(default=None, description="default: standard error")
    cohorts: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")], Path] = Field(
        default={}, description="name -> folder that `screen` wrote; the pages open no other"
    )
    cohort_readers: tuple[Annotated[str, Field(min_length=1)], ...] = Field(
        default=(), description="scopes, roles or groups, one of which a token must hold to read a cohort; none: whoever may sign in"
    )

    @model_validator(mode="after")
    def is_safe(self) -> Settings:
        unsafe = [url for url in (*self.fhir_servers, self.oidc_issuer, self.oidc_jwks_url) if url and not is_safe_url(url)]
        if unsafe:
            raise ValueError(f"{unsafe[0]}: only https beyond loopback")
        if self.oidc_issuer and not self.oidc_audience:
            raise ValueError("oidc_issuer needs oidc_audience: a token made for another service must not open this one")
        if self.cohort_readers and not self.oidc_issuer:
            raise ValueError("cohort_readers needs oidc_issuer: nobody else says which scopes, roles or groups somebody has")
        if not is_loopback(self.host) and not (self.cds_clients or self.oidc_issuer or self.smart):
            raise ValueError(
                f"{self.host} can be reached from other machines, so authentication is needed: set cds_clients, oidc_issuer or smart, "
                "or bind to 127.0.0.1"
            )
        if self.smart and not is_safe_url(self.base_url):
            raise ValueError("smart needs a public_url over https beyond loopback: the code of a launch is sent there")
        issuers = [server.issuer for server in self.smart]
        if len(set(issuers)) < len(issuers):
            raise ValueError("smart: an issuer stands there twice")
        if bad := [origin for origin in self.cors_origins if "*" in origin or not is_origin(origin)]:
            raise ValueError(f"cors_origins: {bad[0]!r} is not one origin such as https://sandbox.cds-hooks.org")
        if bad := [origin for origin in self.frame_ancestors if not is_origin(origin)]:
            raise ValueError(f"frame_ancestors: {bad[0]!r} is not an origin such as https://ehr.example.org")
        return self

    @property
    def base_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (self.public_url or f"http://{host}:{self.port}").rstrip("/")

    @property
    def launch_url(self) -> str | None:
        """Where the cards' SMART links lead."""
        return self.smart_launch_url or (f"{self.base_url}/smart/launch" if self.smart else None)

    @property
    def authenticates(self) -> bool:
        """Always, unless only this machine can reach the service: not if another machine may by way of a proxy (``public_url``)."""
        reached = not is_loopback(self.host) or not is_loopback(urlsplit(self.base_url).hostname or "")
        return self.require_authentication or reached or bool(self.cds_clients or self.oidc_issuer)

    @property
    def known_hosts(self) -> frozenset[str] | None:
        """Names under which an open service answers, so that no page elsewhere reaches it by a name that leads here; None: any."""
        if self.authenticates:
            return None
        return frozenset({"localhost", "127.0.0.1", "::1", self.host.strip("[]"), urlsplit(self.base_url).hostname or ""})


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_safe_url(url: str) -> bool:
    """https, or http to this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    if parts.username or parts.password or parts.fragment or not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_origin(text: str) -> bool:
    """A scheme, a host and perhaps a port, in letters that a header can hold."""
    return bool(_ORIGIN.fullmatch(text)) and is_safe_url(text)
