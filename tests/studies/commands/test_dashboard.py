"""Who may speak to the dashboard."""

from __future__ import annotations

from typing import Any

import pytest

from studies.commands.dashboard import guarded, local, welcome


def request(host: str, origin: str | None = None, method: str = "GET") -> dict[str, Any]:
    found = {"REQUEST_METHOD": method, "HTTP_HOST": host}
    return found if origin is None else found | {"HTTP_ORIGIN": origin}


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_loopback_addresses_are_local(host: str) -> None:
    assert local(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.org", "127.0.0.1.example.org", ""])
def test_all_others_are_not(host: str) -> None:
    assert not local(host)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost:9000", "[::1]:8080", "127.0.0.1"])
def test_a_loopback_name_is_welcome_whatever_its_port(host: str) -> None:
    """An SSH tunnel may end at another port than the dashboard's."""
    assert welcome(request(host), here=True)


@pytest.mark.parametrize("host", ["evil.example:8080", "", "127.0.0.1.evil.example", "[::1", "a@b:c@d"])
def test_a_name_that_was_made_to_mean_this_machine_is_not(host: str) -> None:
    assert not welcome(request(host), here=True)


def test_an_opened_dashboard_goes_by_any_name() -> None:
    assert welcome(request("gpu-box:8080"), here=False)


@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_only_its_own_pages_may_change_something(method: str, here: bool) -> None:
    own = request("127.0.0.1:8080", "http://127.0.0.1:8080", method)
    assert welcome(own, here)
    assert welcome(request("127.0.0.1:8080", None, method), here), "a script of the user's sends no origin"
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999"):
        assert not welcome(request("127.0.0.1:8080", origin, method), here)


def test_a_refusal_never_reaches_the_application() -> None:
    called: list[str] = []

    def app(environ: Any, start: Any) -> list[bytes]:
        called.append("app")
        return []

    def start(status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        called.append(status)

    body = b"".join(guarded(app, "127.0.0.1")(request("evil.example"), start))
    assert called == ["403 Forbidden"] and b"lorasearch dashboard" in body
