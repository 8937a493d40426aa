"""Headers on their way through the gateway: which pass, which end there, which it sets itself."""

import pytest

from apps.gateway.headers import request_headers
from apps.kit.errors import BadRequest
from tests.gateway.running import Answer, Gateway, Service, make_settings, open_gateway, serving

READ = "user/Patient.rs"


async def test_identity_headers_of_the_client_are_dropped(gateway: Gateway) -> None:
    forged = {
        "X-User-Id": "admin",
        "X_User_Id": "admin",
        "X-User-Token": "t",
        "X-Forwarded-User": "admin",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "gopher",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "for=6.6.6.6;host=evil.example",
        "X-Real-IP": "6.6.6.6",
        "X-Original-URL": "/oauth2/revocations",
        "X-Rewrite-URL": "/oauth2/revocations",
        "X-HTTP-Method-Override": "DELETE",
        "X-Amzn-Oidc-Identity": "admin",
        "X-Auth-Request-Email": "a@b.example",
        "Remote-User": "admin",
        "Via": "1.1 evil",
        "Cookie": "session=stolen",
        "Host": "evil.example",
    }
    async with gateway.call("GET", "/api/patients", scope=READ, headers=forged) as answer:
        assert answer.status == 200
    (seen,) = gateway.patient.seen
    values = b"\n".join(name + b": " + value for name, value in seen.headers).lower()
    for sting in (
        b"admin",
        b"6.6.6.6",
        b"evil",
        b"gopher",
        b"delete",
        b"stolen",
        b"a@b.example",
        b"x-user-token",
    ):
        assert sting not in values
    assert seen.values(b"x-forwarded-for") == [b"127.0.0.1"]


async def test_client_address_is_the_rightmost_that_no_trusted_proxy_has() -> None:
    settings = make_settings(trusted_proxies=())
    assert settings.trusted_proxies == ()
    from ipaddress import ip_network

    async with open_gateway(
        trusted_proxies=(ip_network("127.0.0.0/8"), ip_network("10.0.0.0/8"))
    ) as gateway:
        headers = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9, 10.0.3.4"}
        async with gateway.call("GET", "/api/patients", scope=READ, headers=headers):
            pass
        assert gateway.patient.seen[0].values(b"x-forwarded-for") == [b"203.0.113.9"]


async def test_hop_by_hop_headers_end_here_both_ways(gateway: Gateway) -> None:
    gateway.patient.answer = Answer(
        200,
        [
            (b"connection", b"x-secret"),
            (b"x-secret", b"1"),
            (b"keep-alive", b"timeout=5"),
            (b"proxy-authenticate", b"Basic"),
            (b"server", b"internal/1.0"),
            (b"x-powered-by", b"internal"),
            (b"via", b"1.1 internal"),
            (b"access-control-allow-origin", b"*"),
            (b"set-cookie", b"a=b"),
            (b"x-kept", b"1"),
        ],
    )
    headers = {
        "Connection": "keep-alive, X-Private , if-match",
        "X-Private": "1",
        "If-Match": 'W/"1"',
        "Keep-Alive": "timeout=5",
        "TE": "trailers",
        "Proxy-Authorization": "Basic x",
        "Proxy-Connection": "keep-alive",
        "Trailer": "X-T",
        "X-Kept": "1",
    }
    async with gateway.call("GET", "/api/patients", scope=READ, headers=headers) as answer:
        for name in (
            "X-Secret",
            "Keep-Alive",
            "Proxy-Authenticate",
            "Server",
            "X-Powered-By",
            "Via",
            "Set-Cookie",
        ):
            assert name not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert answer.headers["X-Kept"] == "1"
        assert len(answer.headers.getall("Date")) == 1
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    names = {name for name, _ in gateway.patient.seen[0].headers}
    assert not names & {
        b"x-private",
        b"if-match",
        b"keep-alive",
        b"te",
        b"proxy-authorization",
        b"proxy-connection",
        b"trailer",
        b"connection",
    }
    assert b"x-kept" in names


async def test_cookies_are_the_auth_services_alone(gateway: Gateway) -> None:
    gateway.services["auth"].answer = Answer(
        200, [(b"set-cookie", b"sid=1; HttpOnly"), (b"set-cookie", b"b=2")]
    )
    async with gateway.call("GET", "/oauth2/authorize", headers={"Cookie": "sid=0"}) as answer:
        assert answer.headers.getall("Set-Cookie") == ["sid=1; HttpOnly", "b=2"]
    assert gateway.services["auth"].seen[0].values(b"cookie") == [b"sid=0"]


async def test_one_callers_cookies_are_never_anothers() -> None:
    auth = Service(Answer(200, [(b"set-cookie", b"sid=1; HttpOnly")]))
    # By name: a jar would not keep an address's cookies anyway.
    async with (
        serving(auth) as port,
        open_gateway(upstreams={"auth": f"http://localhost:{port}"}) as gateway,
    ):
        for _ in range(2):
            async with gateway.call("GET", "/oauth2/authorize"):
                pass
    assert [seen.values(b"cookie") for seen in auth.seen] == [[], []]


def test_value_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(BadRequest, match="malformed_header"):
        request_headers([(b"x-note", b"\xff")], cookies=False)
    assert request_headers([(b"x-note", "é".encode())], cookies=False) == [("x-note", "é")]
