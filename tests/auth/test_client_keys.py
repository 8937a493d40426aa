from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from apps.auth.client_keys import MAX_KEYS, parse_client_keys

pytestmark = pytest.mark.filterwarnings("ignore:Key size:joserfc.errors.SecurityWarning")

RSA: Any = RSAKey.generate_key(2048, {"kid": "rsa"}).as_dict(private=False)
EC: Any = ECKey.generate_key("P-384", {"kid": "ec"}).as_dict(private=False)
# 1,024 bits.
SHORT: Any = {**RSA, "kid": "short", "n": "w" * 171}


def test_signing_keys_are_kept_and_others_left_out() -> None:
    others = [
        {**RSA, "use": "enc"},
        {**RSA, "alg": "PS256"},
        {**RSA, "alg": "ES256"},
        {**EC, "alg": "ES256"},
        {**EC, "x": "AA"},
        {name: value for name, value in RSA.items() if name != "kid"},
        SHORT,
    ]
    assert parse_client_keys({"keys": [RSA, *others, EC]}) == {"keys": [RSA, EC]}


def test_set_may_have_fifty_keys() -> None:
    assert parse_client_keys({"keys": [RSA] * MAX_KEYS}) == {"keys": [RSA] * MAX_KEYS}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"keys": {}},
        {"keys": []},
        {"keys": [RSA] * (MAX_KEYS + 1)},
        {"keys": ["x"]},
        {"keys": [SHORT]},
        {"keys": [RSA, {"kty": "oct", "kid": "k", "k": "AA"}]},
        {"keys": [RSA, {**EC, "d": "AA"}]},
    ],
    # Keys are made anew in each process: a name with one would differ between pytest's workers.
    ids=["null", "list", "empty", "map", "none", "too-many", "text", "short", "shared", "private"],
)
def test_set_without_a_key_or_with_a_private_one_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match=r"key"):
        parse_client_keys(document)
