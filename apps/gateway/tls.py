"""A certificate of the gateway's own, made at start: the balancer speaks TLS to it and asks
not who it is.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# A replica is replaced long before.
VALID_DAYS = 398


@contextmanager
def self_signed_certificate(host: str) -> Iterator[tuple[str, str]]:
    """Makes a certificate and gives the paths of certificate and key (PEM), readable while the
    block runs; they lie in memory, on no disk.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with (
        _in_memory(certificate.public_bytes(serialization.Encoding.PEM)) as chain,
        _in_memory(pem) as private,
    ):
        yield chain, private


@contextmanager
def _in_memory(content: bytes) -> Iterator[str]:
    """Keeps the file in memory: the container's root is read-only, and a key has no
    business on a disk.
    """
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, content)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
