"""The gateway's own certificate: usable as long as it serves, gone afterwards."""

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from apps.gateway.tls import self_signed_certificate
from tests.open_files import open_files

# What descriptors of the certificate and of its key refer to.
KEPT_IN_MEMORY = "/memfd:pem"


def test_certificate_and_key_are_of_the_host_and_valid_now() -> None:
    with self_signed_certificate("health.example") as (chain, private):
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(chain, private)
        certificate = x509.load_pem_x509_certificate(Path(chain).read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["health.example"]
    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc < now
    assert certificate.not_valid_after_utc > now + timedelta(days=30)


@pytest.mark.parametrize("fails", [False, True])
def test_key_is_gone_once_nothing_serves(fails: bool) -> None:
    before = open_files(KEPT_IN_MEMORY)
    paths: tuple[str, str] = ("", "")
    try:
        with self_signed_certificate("health.example") as paths:
            assert all(map(os.path.exists, paths))
            assert len(open_files(KEPT_IN_MEMORY)) == len(before) + 2
            if fails:
                raise OSError("the port is taken")
    except OSError:
        assert fails
    assert not any(map(os.path.exists, paths))
    assert open_files(KEPT_IN_MEMORY) == before
