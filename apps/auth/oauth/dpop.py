"""DPoP at the token endpoint (RFC 9449): a proof is used once, whichever replica it is sent to."""

import time

from authlib.oauth2.rfc6749 import OAuth2Error

from apps.auth.oauth.assertion_ids import insert_assertion_id
from apps.auth.oauth.authlib_starlette import wait_for
from apps.kit.database import Connection
from apps.kit.dpop import WINDOW_SECONDS, ProofError, read_proof


class InvalidProofError(OAuth2Error):  # type: ignore[misc]
    error = "invalid_dpop_proof"


def read_new_proof(connection: Connection, text: str, *, method: str, url: str) -> str:
    """Returns the thumbprint of the key that the proof shows; raises InvalidProofError. For a
    worker thread.
    """
    try:
        proof = read_proof(text, method=method, url=url, now=time.time())
    except ProofError as error:
        raise InvalidProofError(str(error).replace('"', "'")) from None
    life_seconds = 2 * WINDOW_SECONDS
    owner = f"dpop:{proof.thumbprint}"
    if not wait_for(insert_assertion_id, connection, owner, proof.jti, life_seconds):
        raise InvalidProofError("the proof was used before")
    return proof.thumbprint
