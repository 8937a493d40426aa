import fcntl
import hashlib
import os
import runpy
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from infrastructure.local import jars as module
from infrastructure.local.jars import LOCK, Jar, path_of, read_lock, resolve_jar, resolve_jars
from infrastructure.local.process import StartError

CONTENT = b"a jar"
JAR = Jar("org.example", "sample", "1.0", hashlib.sha256(CONTENT).hexdigest())


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes) -> list[Jar]:
    asked: list[Jar] = []

    def download(jar: Jar, cache: Path) -> None:
        asked.append(jar)
        path_of(jar, cache).parent.mkdir(parents=True, exist_ok=True)
        path_of(jar, cache).write_bytes(content)

    monkeypatch.setattr(module, "download", download)
    return asked


def test_jar_that_is_not_the_pinned_one_is_refused_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, b"something else")
    with pytest.raises(StartError, match="not the pinned"):
        resolve_jar(JAR, tmp_path)
    assert not path_of(JAR, tmp_path).exists()


def test_jar_that_was_broken_off_is_downloaded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve(monkeypatch, CONTENT)
    path_of(JAR, tmp_path).parent.mkdir(parents=True)
    path_of(JAR, tmp_path).write_bytes(CONTENT[:2])
    assert resolve_jar(JAR, tmp_path).read_bytes() == CONTENT
    resolve_jar(JAR, tmp_path)
    assert asked == [JAR]


def test_one_download_into_a_folder_waits_for_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = serve(monkeypatch, CONTENT)
    monkeypatch.setattr(module, "read_lock", lambda text: (JAR,))
    monkeypatch.setattr(module, "trust_as_pip_does", lambda environ: None)
    with (tmp_path / "lock").open("w") as held, ThreadPoolExecutor(1) as pool:
        fcntl.flock(held, fcntl.LOCK_EX)
        resolving = pool.submit(resolve_jars, tmp_path)
        with pytest.raises(TimeoutError):
            resolving.result(0.5)
        assert asked == []
        fcntl.flock(held, fcntl.LOCK_UN)
        assert resolving.result(20) == (path_of(JAR, tmp_path),)


def test_lock_pins_one_kafka_by_hash_and_names_no_address() -> None:
    text = LOCK.read_text()
    jars = read_lock(text)
    assert "://" not in text
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert len({(jar.group, jar.artifact) for jar in jars}) == len(jars)
    assert len({jar.version for jar in jars if jar.group == "org.apache.kafka"}) == 1


def make_authority(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A company's authority in a file, and a server's side with its certificate for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    authority = folder / "authority.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = folder / "key.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    return authority, context


@pytest.fixture
def company(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a server that a company's own authority signed, and that authority."""
    authority, context = make_authority(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_port}/", authority
    server.shutdown()
    server.server_close()


# What download() does, in a process of its own: it prints the status of the answer.
FETCH = """
import os, sys, requests
from infrastructure.local.jars import trust_as_pip_does
trust_as_pip_does(os.environ)
print(requests.head(sys.argv[1], timeout=20).status_code)
"""


@pytest.mark.parametrize("way", ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "pip.conf"])
def test_jars_trust_the_authorities_that_pip_trusts(
    company: tuple[str, Path], tmp_path: Path, way: str
) -> None:
    url, authority = company
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_PROXY": "localhost"}
    if way == "pip.conf":
        (tmp_path / "pip.conf").write_text(f"[global]\ncert = {authority}\n")
        environment["PIP_CONFIG_FILE"] = str(tmp_path / "pip.conf")
    else:
        environment[way] = str(authority)
    done = fetch(url, environment)
    assert done.stdout == "200\n", done.stderr


def test_unknown_authority_is_not_trusted(company: tuple[str, Path], tmp_path: Path) -> None:
    url, _ = company
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "NO_PROXY": "localhost"}
    done = fetch(url, {**environment, "PIP_CONFIG_FILE": os.devnull})
    assert done.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in done.stderr


def fetch(url: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", FETCH, url],
        env=environment,
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_untrusted_server_is_told_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Context:
        def project(self, *_: str) -> None:
            raise requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED")

    monkeypatch.setattr("jgo.maven.MavenContext", lambda **_: Context())
    with pytest.raises(StartError, match="PIP_CERT, SSL_CERT_FILE, REQUESTS_CA_BUNDLE"):
        module.download(JAR, tmp_path)


def test_long_download_reports_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(monkeypatch, CONTENT)
    lock = tmp_path / "lock"
    lock.write_text("".join(f"org.example:j{n}:1 {JAR.sha256}\n" for n in range(3)))
    monkeypatch.setattr(module, "REPORT_SECONDS", 0.0)
    said: list[str] = []
    module.resolve_jars(tmp_path / "cache", report=said.append, lock=lock)
    assert said == [
        "downloading 3 jars of Kafka, 45 MB, once",
        *(f"{n} of 3 jars are there" for n in (1, 2, 3)),
    ]
    said.clear()
    module.resolve_jars(tmp_path / "cache", report=said.append, lock=lock)
    assert said == []


def test_lock_is_made_of_what_the_coordinates_resolve_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Context:
        """Downloads a jar whose content is its version."""

        def __init__(self, repo_cache: Path, timeout: float) -> None:
            self.cache = repo_cache

        def project(self, group: str, artifact: str) -> "Context":
            self.group, self.name = group, artifact
            return self

        def at_version(self, version: str) -> "Context":
            self.version = version
            return self

        def artifact(self) -> "Context":
            return self

        def resolve(self) -> None:
            path = path_of(Jar(self.group, self.name, self.version), self.cache)
            path.parent.mkdir(parents=True)
            path.write_bytes(self.version.encode())

    def resolve(endpoint: str) -> list[SimpleNamespace]:
        name, version = endpoint.split(":")[1:]
        found = ((name, version), ("shared", version))
        return [SimpleNamespace(groupId="org", artifactId=a, version=v) for a, v in found]

    written: dict[str, str] = {}
    monkeypatch.setattr("jgo.resolve", resolve)
    monkeypatch.setattr("jgo.maven.MavenContext", Context)
    monkeypatch.setattr(Path, "write_text", lambda path, text: written.update({path.name: text}))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(module.__file__), run_name="__main__")
    (kafka, binding) = (endpoint.split(":")[1:] for endpoint in module.ENDPOINTS)
    # What both need is of the version that the first one names.
    jars = sorted((name, version) for name, version in (kafka, binding, ("shared", kafka[1])))
    assert read_lock(written["kafka.lock"]) == tuple(
        Jar("org", name, version, hashlib.sha256(version.encode()).hexdigest())
        for name, version in jars
    )
