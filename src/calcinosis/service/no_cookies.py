"""Outgoing calls for many people share one client, so no cookie of one call may go along with the next."""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy


def no_cookies() -> CookieJar:
    """A jar that takes none."""
    return CookieJar(policy=DefaultCookiePolicy(allowed_domains=()))
