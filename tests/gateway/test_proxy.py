import pytest

from tests.gateway.running import PUBLIC_URL, Answer, Gateway


async def test_request_and_answer_pass_through_whole(gateway: Gateway) -> None:
    gateway.patient.answer = Answer(
        201, [(b"content-type", b"application/json"), (b"location", b"/api/patients/7"), (b"etag", b'W/"1"')], b"[7]"
    )
    async with gateway.call(
        "POST", "/api/patients?a=1&b=%20c", scope="user/Patient.c", data=b'{"x":1}', headers={"Idempotency-Key": "k"}
    ) as answer:
        assert answer.status == 201
        assert await answer.read() == b"[7]"
        assert answer.headers["Location"] == "/api/patients/7"
        assert answer.headers["ETag"] == 'W/"1"'
    (seen,) = gateway.patient.seen
    assert (seen.method, seen.raw_path, seen.query, seen.body) == ("POST", b"/api/patients", b"a=1&b=%20c", b'{"x":1}')
    assert seen.values(b"idempotency-key") == [b"k"]
    assert seen.values(b"content-length") == [b"7"]
    assert seen.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert seen.values(b"x-forwarded-proto") == [b"https"]
    assert seen.values(b"x-forwarded-host") == [PUBLIC_URL.removeprefix("https://").encode()]
