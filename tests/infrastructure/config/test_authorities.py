"""What services trust when they connect to RDS: Amazon's own authorities, read and kept, and
nothing fetched.
"""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from infrastructure.config.checks import AUTHORITIES
from infrastructure.config.files import ROOT, read_config
from infrastructure.config.model import SettingsError
from infrastructure.config.parse import parse_stack
from infrastructure.ecs.image_source import IMAGES, source_files
from infrastructure.recording import Recording

pytestmark = pytest.mark.infrastructure
ENTRY = re.compile(
    r"# (?P<region>[a-z0-9-]+), SHA-256 (?P<digest>[0-9a-f]{64})\n"
    r"(?P<text>-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\n]+-----END CERTIFICATE-----\n)"
)
NOBODYS_SOONER = timedelta(days=5 * 365)


def test_each_authority_is_amazons_own_for_the_region_that_heads_it() -> None:
    text = AUTHORITIES.read_text()
    entries = list(ENTRY.finditer(text))
    assert "".join(entry[0] for entry in entries) == text
    assert len({entry["region"] for entry in entries}) == len(entries) == 27
    for entry in entries:
        certificate = x509.load_pem_x509_certificate(entry["text"].encode())
        assert certificate.fingerprint(hashes.SHA256()).hex() == entry["digest"]
        (name,) = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        assert name.value == f"Amazon RDS {entry['region']} Root CA RSA2048 G1"
        certificate.verify_directly_issued_by(certificate)
        key = certificate.public_key()
        assert isinstance(key, RSAPublicKey)
        assert key.key_size == 2048
        assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert certificate.not_valid_after_utc > datetime.now(UTC) + NOBODYS_SOONER


def test_instances_show_a_certificate_of_these_authorities(stacks: dict[str, Recording]) -> None:
    for stack in stacks.values():
        for instance in stack.of("aws:rds/instance:Instance"):
            assert instance.inputs["caCertIdentifier"] == "rds-ca-rsa2048-g1"


def test_a_region_whose_authority_is_not_kept_is_refused_by_name() -> None:
    zones = '["xx-south-1a", "xx-south-1b"]'
    config = {
        **read_config("dev"),
        "aws:region": "xx-south-1",
        "patient-management:availability-zones": zones,
    }
    with pytest.raises(
        SettingsError, match=r"aws:region: apps/kit/rds\.pem has no authority of RDS in xx-south-1"
    ):
        parse_stack("dev", config)


def test_an_image_is_made_of_its_context_and_fetches_nothing_unverified() -> None:
    recipe = (ROOT / "apps/Dockerfile").read_text()
    assert not re.search(r"^ADD ", recipe, re.MULTILINE)
    assert not re.search(r"\b(curl|wget)\b", recipe)
    assert "--require-hashes" in recipe
    assert "COPY apps/kit/rds.pem /etc/ssl/certs/rds.pem" in recipe
    assert all(Path("apps/kit/rds.pem") in set(source_files(image)) for image in IMAGES)
