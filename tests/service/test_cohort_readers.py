"""Who may read a cohort: whoever signs in, or those whose token holds a right that the operator named."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError
from served import BASE, ec_key, key_set, stub, token

from calcinosis.service.app import make_app
from calcinosis.service.settings import Settings

PROVIDER = "https://idp.example"
KEY = ec_key("idp")


@pytest.fixture(scope="module")
def provider() -> Iterator[dict[str, Any]]:
    with stub(lambda *_: (200, key_set(KEY))) as url:
        yield {"workers": 0, "public_url": BASE, "oidc_issuer": PROVIDER, "oidc_audience": "calcinosis", "oidc_jwks_url": url + "/keys", "burst": 10_000}


@pytest.fixture(scope="module")
def guarded(provider: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = Settings(**provider, cohorts={"registry": tmp_path_factory.mktemp("cohort")}, cohort_readers=("registry.read", "quality"))
    with TestClient(make_app(settings), base_url="http://127.0.0.1") as client:
        yield client


def status(client: TestClient, path: str, **claims: Any) -> int:
    bearer = token(KEY, iss=PROVIDER, aud="calcinosis", sub="somebody", **claims)
    return int(client.get(path, headers={"Authorization": f"Bearer {bearer}"}).status_code)


@pytest.mark.parametrize("claims", [{"scope": "openid registry.read"}, {"scp": ["registry.read"]}, {"roles": ["quality", "x"]}, {"groups": "quality"}], ids=str)
def test_a_right_that_was_named_opens_the_cohorts(guarded: TestClient, claims: dict[str, Any]) -> None:
    assert status(guarded, "/cohort", **claims) == 200


@pytest.mark.parametrize(
    "claims",
    [{}, {"scope": "openid"}, {"scope": "registry.reader"}, {"roles": [["quality"]]}, {"roles": {"quality": 1}}, {"other": "quality"}, {"scope": None}],
    ids=str,
)
@pytest.mark.parametrize("path", ["/cohort", "/cohort/registry", "/cohort/registry/patients.csv", "/cohort/registry/patients/eA"])
def test_others_who_sign_in_read_no_cohort(guarded: TestClient, claims: dict[str, Any], path: str) -> None:
    assert status(guarded, path, **claims) == 403
    assert status(guarded, "/api/v1/knowledge/types", **claims) == 200


def test_without_the_setting_whoever_signs_in_reads_them_and_the_log_says_so(
    provider: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "calcinosis.service"), TestClient(
        make_app(Settings(**provider, cohorts={"registry": tmp_path})), base_url="http://127.0.0.1"
    ) as client:
        assert status(client, "/cohort") == 200
    assert "may read every cohort" in caplog.text


def test_rights_need_a_provider_that_says_them() -> None:
    with pytest.raises(ValidationError, match="oidc_issuer"):
        Settings(cohort_readers=("quality",))
