"""`/api/outbox` and `/api/settings`: what the record still has to send, and its settings, for
administrators.
"""

from apps.gateway.operations.model import PublicOperation, done, gone, ref
from apps.kit.web import scopes

TAG = "Patients"
PATH = "/api/outbox"
ADMIN = scopes("admin")

OPERATIONS = (
    PublicOperation(
        method="GET",
        path=PATH,
        policy=ADMIN,
        id="listRecordOutbox",
        tag=TAG,
        summary="What waits to be sent and what was refused",
        description="The queues by destination, and the refused rows with their reasons.",
        answers=done("The outbox", {"type": "object"}),
    ),
    PublicOperation(
        method="POST",
        path=PATH + "/{id}/retry",
        policy=ADMIN,
        id="retryRecordOutboxRow",
        tag=TAG,
        summary="Send a refused row again",
        answers=gone("Done"),
    ),
    PublicOperation(
        method="POST",
        path=PATH + "/{id}/discard",
        policy=ADMIN,
        id="discardRecordOutboxRow",
        tag=TAG,
        summary="Delete a refused row for good",
        description="Later events of its patient are sent.",
        answers=gone("Done"),
    ),
    PublicOperation(
        method="GET",
        path="/api/settings",
        policy=ADMIN,
        id="readRecordSettings",
        tag=TAG,
        summary="The record's settings; of secrets only whether they are set",
        answers=done("The settings", ref("ShownSettings")),
    ),
)
