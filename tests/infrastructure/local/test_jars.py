import hashlib
from pathlib import Path

import pytest

from infrastructure.local import jars as module
from infrastructure.local.jars import LOCK, Jar, path_of, read_lock, resolve_jar
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


def test_lock_pins_one_kafka_by_hash_and_names_no_address() -> None:
    text = LOCK.read_text()
    jars = read_lock(text)
    assert "://" not in text
    assert all(len(jar.sha256) == 64 for jar in jars)
    assert len({(jar.group, jar.artifact) for jar in jars}) == len(jars)
    assert len({jar.version for jar in jars if jar.group == "org.apache.kafka"}) == 1
