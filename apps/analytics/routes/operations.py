"""What operators see of the consumer over HTTP: its lag and its dead letters."""

import base64
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from apps.analytics.reports.parameters import single_values
from apps.kit.dead_letters import (
    discard,
    find_letter,
    list_letters,
    read_content,
    redrive,
    select_unsettled_letter,
)
from apps.kit.errors import BadRequest
from apps.kit.event_storage import DeadLetter, StoredDeadLetter
from apps.kit.lag import measure_lag
from apps.kit.web import JSONResponse, read_json


async def lag(request: Request) -> Response:
    single_values(request.query_params, ())
    state = request.state
    measured = await measure_lag(state.database, state.consumer, state.settings.consumer.topics)
    partitions = [
        {
            "topic": each.topic,
            "partition": each.partition,
            "nextOffset": each.next_offset,
            "endOffset": each.end_offset,
            "lag": each.lag,
        }
        for each in measured.partitions
    ]
    return JSONResponse(
        {"lag": measured.total, "deadLetters": measured.dead_letters, "partitions": partitions}
    )


async def dead_letters(request: Request) -> Response:
    single_values(request.query_params, ())
    letters = await list_letters(request.state.database)
    return JSONResponse({"deadLetters": [render_letter(letter) for letter in letters]})


async def dead_letter(request: Request) -> Response:
    """Answers a dead letter with its record: key as text, value and headers in base64."""
    single_values(request.query_params, ())
    stored = await find_letter(request.state.database, request.path_params["id"])
    content = await read_content(request.state.settings.broker, stored.letter)
    document = {
        **render_letter(stored),
        "key": (content.key or b"").decode(errors="replace"),
        "value": base64.b64encode(content.value or b"").decode(),
        "headers": {name: base64.b64encode(value).decode() for name, value in content.headers},
    }
    return JSONResponse(document)


async def redrive_dead_letter(request: Request) -> Response:
    state = request.state
    letter = await _unsettled(request)
    await redrive(state.database, state.settings.broker, state.producer, [letter])
    return JSONResponse({"redriven": 1})


async def discard_dead_letter(request: Request) -> Response:
    """Takes `{"reason": "..."}`."""
    body = await read_json(request)
    reason = body.get("reason") if isinstance(body, dict) else None
    if not isinstance(reason, str) or not reason.strip():
        raise BadRequest("missing_reason", "say why, in `reason`")
    letter = await _unsettled(request)
    await discard(request.state.database, [letter], reason.strip())
    return JSONResponse({"discarded": 1})


async def _unsettled(request: Request) -> DeadLetter:
    async with request.state.database.connection() as connection:
        return await select_unsettled_letter(connection, request.path_params["id"])


def render_letter(stored: StoredDeadLetter) -> dict[str, Any]:
    letter = stored.letter
    return {
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.record_offset,
        "reason": letter.reason,
        "recordedAt": stored.recorded_at,
        "resolution": stored.resolution or None,
        "note": stored.note or None,
    }
