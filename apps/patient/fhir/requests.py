"""What a request of the FHIR interface says: type, id, caller, conditions, body."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request

from apps.kit.context import current_context
from apps.kit.errors import (
    BadRequest,
    FieldError,
    NotFound,
    Unprocessable,
    UnsupportedMediaType,
)
from apps.kit.operation_outcomes import FHIR_PATH
from apps.kit.web import principal_of
from apps.patient.codec import FHIR_MEDIA_TYPE, Resource, decode, encode
from apps.patient.definitions.model import served_types
from apps.patient.definitions.validation import find_faults
from apps.patient.fhir.negotiation import (
    JSON_MEDIA_TYPES,
    Preferences,
    media_type_of,
    parse_prefer,
)
from apps.patient.search.criteria.query import Query
from apps.patient.search.reading.reader import Reader
from apps.patient.storage.access import Caller
from apps.patient.storage.preconditions import Condition, Expected
from apps.patient.storage.read_audit import ReadAudit
from apps.patient.storage.record import Record
from apps.patient.storage.versions import Author, Version

# Written by the service alone.
READ_ONLY_TYPES = frozenset(("AuditEvent",))
MAX_FORM_FIELDS = 100
NO_VERSION = -1

_ID = re.compile(r"[A-Za-z0-9.-]{1,64}")
_ETAG = re.compile(r'(?:W/)?"([^"]*)"')


def author_of(request: Request) -> Author:
    principal, context = principal_of(request), current_context()
    return Author(
        principal.subject,
        principal.client_id,
        context.request_id if context else "",
        context.traceparent if context else "",
    )


def caller_of(request: Request) -> Caller:
    """Returns who calls, with what the scopes allow."""
    return Caller(
        principal=principal_of(request), author=author_of(request), reader=reader_of(request)
    )


def reader_of(request: Request) -> Reader:
    return Reader(base_url=base_of(request), lenient=preferences_of(request).lenient)


def preferences_of(request: Request) -> Preferences:
    return parse_prefer(request.headers.getlist("prefer"))


def record_of(request: Request) -> Record:
    record: Record = request.state.record
    return record


def read_audit_of(request: Request) -> ReadAudit:
    read_audit: ReadAudit = request.state.read_audit
    return read_audit


def base_of(request: Request) -> str:
    public_url: str = request.state.settings.public_url
    return public_url + FHIR_PATH


def type_of(request: Request) -> str:
    name: str = request.path_params["type"]
    if name not in served_types():
        raise NotFound("type_not_served", f"served are {', '.join(served_types())}")
    return name


def path_id(request: Request, name: str = "id") -> str:
    """Returns the path's id; raises NotFound for what can be no id."""
    id: str = request.path_params[name]
    if not _ID.fullmatch(id):
        raise NotFound("not_found")
    return id


def path_version(request: Request) -> int:
    version_id = parse_version(request.path_params["vid"])
    if version_id is None:
        raise NotFound("not_found")
    return version_id


def parse_version(text: str) -> int | None:
    """Returns a version's number; None for what can be none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None


def read_if_match(request: Request) -> int | None:
    """Returns the version that `If-Match` names; None without one and for `*`. Raises
    BadRequest for no ETag.
    """
    return parse_if_match(request.headers.getlist("if-match"), "If-Match")


def parse_if_match(texts: list[str], pointer: str) -> int | None:
    if not texts or texts == ["*"]:
        return None
    match = _ETAG.fullmatch(texts[0].strip()) if len(texts) == 1 else None
    if match is None:
        raise BadRequest("invalid_if_match", 'expected one W/"<version>"', pointer=pointer)
    # An ETag that was never ours is no version's: a stale one, not a malformed one.
    version_id = parse_version(match[1])
    return NO_VERSION if version_id is None else version_id


def read_expected(request: Request) -> Expected:
    """Returns what `If-Match` and `If-None-Match` say of the version that is to be changed.

    Raises BadRequest for an `If-None-Match` that names a version: a change would pass over it.
    """
    none_match = request.headers.get("if-none-match", "*").strip()
    if none_match != "*":
        raise BadRequest("invalid_if_none_match", "expected *", pointer="If-None-Match")
    return Expected(
        version_id=read_if_match(request),
        must_exist=request.headers.get("if-match", "").strip() == "*",
        must_not_exist=request.headers.get("if-none-match", "").strip() == "*",
    )


def is_unchanged(request: Request, version: Version) -> bool:
    """Tells whether the client has this version already: `If-None-Match`, else
    `If-Modified-Since`.
    """
    tags = request.headers.getlist("if-none-match")
    if tags:
        listed = [match[1] for match in _ETAG.finditer(",".join(tags))]
        return "*" in (tag.strip() for tag in tags) or str(version.version_id) in listed
    since = request.headers.get("if-modified-since")
    if not since:
        return False
    try:
        moment = parsedate_to_datetime(since)
    except ValueError:
        return False
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return version.recorded_at.replace(microsecond=0) <= moment <= datetime.now(UTC)


async def read_fhir_body(request: Request) -> bytes:
    """Returns the body's bytes; raises UnsupportedMediaType unless it is FHIR JSON
    or plain JSON.
    """
    check_content_type(request.headers.get("content-type", ""))
    return without_bom(await request.body())


def check_content_type(header: str) -> None:
    kind, parameters = media_type_of(header)
    is_utf8 = parameters.get("charset", "utf-8").lower() in ("utf-8", "utf8", "us-ascii")
    if kind not in JSON_MEDIA_TYPES or not is_utf8:
        raise UnsupportedMediaType(
            "unsupported_media_type", f"expected {FHIR_MEDIA_TYPE} or application/json in UTF-8"
        )


def without_bom(body: bytes) -> bytes:
    """Drops a byte order mark, which may be ignored (RFC 8259)."""
    return body.removeprefix(b"\xef\xbb\xbf")


async def read_resource(request: Request, resource_type: str) -> tuple[Resource, bytes]:
    """Returns the body as a valid resource of the type; raises Unprocessable with every fault."""
    body = await read_fhir_body(request)
    resource = decode(body)
    check_resource(resource, resource_type)
    return resource, body


def check_resource(resource: Any, resource_type: str) -> None:
    faults = find_faults(resource, resource_type)
    if faults:
        raise Unprocessable("invalid_resource", faults=faults)


async def read_form(request: Request) -> list[tuple[str, str]]:
    """Returns the parameters of a search by POST: those of the URL and of the form."""
    kind, _ = media_type_of(request.headers.get("content-type", ""))
    if kind != "application/x-www-form-urlencoded":
        raise UnsupportedMediaType(
            "unsupported_media_type", "expected application/x-www-form-urlencoded"
        )
    try:
        text = (await request.body()).decode()
        form = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        raise BadRequest("malformed_form", "expected a form in UTF-8") from None
    return [*request.query_params.multi_items(), *form]


def check_parameters(request: Request, taken: Sequence[str]) -> None:
    """Raises BadRequest for a parameter that the interaction does not take, unless
    handling is lenient.
    """
    # Most reads have none: nothing is parsed for those.
    if not request.scope["query_string"] or preferences_of(request).lenient:
        return
    for name, _ in without_presentation(request.query_params.multi_items()):
        if name not in taken:
            raise BadRequest(
                "parameter_not_served", f"{name[:100]} is not served here", pointer=name[:100]
            )


def without_presentation(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Returns the parameters but for those that say what the answer looks like."""
    return [pair for pair in pairs if pair[0] not in ("_format", "_pretty")]


async def read_operation(request: Request) -> list[tuple[str, str]]:
    """Returns the parameters of an operation: those of the URL and, of a POST, of the
    Parameters in its body.
    """
    pairs = without_presentation(request.query_params.multi_items())
    body = await request.body() if request.method == "POST" else b""
    if not body:
        return pairs
    content = decode(await read_fhir_body(request))
    check_resource(content, "Parameters")
    for index, parameter in enumerate(content.get("parameter", ())):
        values = [value for name, value in parameter.items() if name.startswith("value")]
        if len(values) != 1 or isinstance(values[0], (dict, list)):
            raise Unprocessable(
                "invalid_parameters", "expected a simple value", pointer=f"/parameter/{index}"
            )
        text = values[0] if isinstance(values[0], str) else encode(values[0]).decode()
        pairs.append((parameter["name"], text))
    return pairs


def condition_of(reader: Reader, resource_type: str, text: Any, pointer: str) -> Condition | None:
    """Returns the search criteria of `If-None-Exist` and of conditional URLs; None without any.

    Raises Unprocessable for empty criteria, BadRequest for what is not served.
    """
    if text is None:
        return None
    query = text if isinstance(text, str) else ""
    # HAPI's client writes the whole URL, as it knows the server.
    query = re.sub(rf"^(?:(?:https?://[^?]*)?/?{resource_type})?\?", "", query)
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FORM_FIELDS)
    except ValueError:
        pairs = []
    return condition_of_pairs(reader, resource_type, pairs, pointer)


def condition_of_pairs(
    reader: Reader, resource_type: str, pairs: list[tuple[str, str]], pointer: str
) -> Condition:
    strict = Reader(base_url=reader.base_url)
    found: Query | None = None
    if pairs:
        found = strict.read((resource_type,), sorted(pairs))
    results = [name for name, _ in pairs if name.startswith(("_count", "_cursor", "_total"))]
    if found is None or not pairs or results or found.includes or found.sort:
        message = "expected search parameters: name=value"
        raise Unprocessable(
            "invalid_condition", message, faults=(FieldError("invalid", message, pointer),)
        )
    # Written in one way, so that two writers of one condition take turns.
    return Condition(
        resource_type=resource_type,
        text=f"{resource_type}?{found.criteria[resource_type]}",
        criterion=found.criteria[resource_type],
    )
