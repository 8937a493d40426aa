"""What can go wrong with a stack or with AWS, told apart because each is answered differently."""

import re
from datetime import datetime

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
)

# What AWS and its SDKs say when the caller may not, or is nobody: the codes of services, of STS and
# of the Go SDK.
DENIED = re.compile(
    r"AccessDenied|UnauthorizedOperation|UnrecognizedClient|InvalidClientTokenId|ExpiredToken|AuthFailure"
    r"|SignatureDoesNotMatch|is not authorized to perform|NoCredentialProviders|failed to refresh "
    r"cached credentials"
    r"|no EC2 IMDS role found|Unable to locate credentials|failed to (get|retrieve) credentials"
)
IN_USE = re.compile(
    r"DependencyViolation|ResourceInUse|ResourceConflict|OperationInProgress|(is|currently) in use"
)


class PreviewError(Exception):
    """Something was not done. The message names what, without a stack trace."""


class CommandMissingError(PreviewError):
    """No `pulumi` on the PATH, or one that is too old."""


class AccessDeniedError(PreviewError):
    """The credentials are gone or may not.

    Nothing is concluded from what a denied call did not show.
    """


class StackMissingError(PreviewError):
    """No such stack."""


class ResourceInUseError(PreviewError):
    """A resource that another one still holds on to; later it may go."""


class StackLockedError(PreviewError):
    """Somebody else works on the stack, or did and was killed.

    `since` is the newest lock's time, if it is known.
    """

    def __init__(self, message: str, since: datetime | None) -> None:
        super().__init__(message)
        self.since = since


class LeftBehindError(PreviewError):
    """A preview that is not wholly gone.

    `left` names each thing, or each place that could not be looked at.
    """

    def __init__(self, stack: str, left: tuple[str, ...]) -> None:
        super().__init__(
            f"{stack} is not gone; left behind:\n"
            + "\n".join(f"  {indented(line)}" for line in left)
        )
        self.left = left


def indented(text: str) -> str:
    """Indents a cause, which may be of several lines."""
    return text.replace("\n", "\n    ")


def error_of_aws(action: str, error: BotoCoreError | ClientError) -> PreviewError:
    if isinstance(error, (NoCredentialsError, CredentialRetrievalError)):
        return AccessDeniedError(
            f"{action}: no AWS credentials (aws sso login, or set AWS_PROFILE)"
        )
    text = str(error)
    code = (
        str(error.response.get("Error", {}).get("Code", ""))
        if isinstance(error, ClientError)
        else ""
    )
    if DENIED.search(code) or DENIED.search(text):
        return AccessDeniedError(f"{action}: {text}")
    if IN_USE.search(code) or IN_USE.search(text):
        return ResourceInUseError(f"{action}: {text}")
    return PreviewError(f"{action}: {text}")
