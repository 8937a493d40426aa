"""`/api/outbox`: what the record still has to send, for administrators."""

from apps.gateway.operations.model import PublicOperation, done, gone
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
)
