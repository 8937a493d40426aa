"""Pushed authorization requests (RFC 9126): the client sends the request itself, the browser
only a reference.
"""

from urllib.parse import parse_qsl, urlencode

from authlib.oauth2.rfc6749 import InvalidRequestError, OAuth2Error

from apps.auth.encryption import digest, new_token
from apps.auth.oauth.authlib_starlette import StarletteOAuth2Request, wait_for
from apps.auth.oauth.authorization_requests import check_supported
from apps.auth.oauth.authorization_server import IdentityServer
from apps.auth.oauth.dpop import read_new_proof
from apps.kit.database import Connection

PREFIX = "urn:ietf:params:oauth:request_uri:"
# RFC 9126, 2.2: 5 to 600 seconds. A person may have to sign in with two factors first.
LIFE_SECONDS = 600
METHODS = ("client_secret_basic", "client_secret_post", "private_key_jwt", "none")
# Of the client's authentication, not of the request.
CREDENTIALS = ("client_secret", "client_assertion", "client_assertion_type")
MAX_CHARS = 16_000


def push(server: IdentityServer, asked: StarletteOAuth2Request) -> object:
    """Answers the endpoint: authenticates the client, checks the request as `/oauth2/authorize`
    would, stores it.
    """
    client = server.authenticate_client(asked, list(METHODS), "par")
    if "request_uri" in asked.form or "request" in asked.form:
        raise InvalidRequestError("a pushed request has no 'request' or 'request_uri' in it")
    asked.assume_client(client.id)
    # Without a person: whatever is wrong in itself is told now.
    try:
        grant = server.get_authorization_grant(asked)
        grant.validate_no_multiple_request_parameter(asked)
        grant.validate_consent_request()
        check_supported(server, asked, client)
    except OAuth2Error as error:
        # The client itself is answered here: nobody is to be sent anywhere.
        error.redirect_uri = None
        raise
    jkt = None
    if text := asked.headers.get("Dpop"):
        url = f"{server.settings.issuer}/oauth2/par"
        jkt = read_new_proof(server.connection, text, method="POST", url=url)
        if asked.form.get("dpop_jkt", jkt) != jkt:
            raise InvalidRequestError("'dpop_jkt' is not the proof's key")

    parameters = {name: value for name, value in asked.form.items() if name not in CREDENTIALS}
    if jkt:
        parameters["dpop_jkt"] = jkt
    text = urlencode(parameters)
    if len(text) > MAX_CHARS:
        raise InvalidRequestError("the request is too long")
    secret = new_token()
    wait_for(_insert, server.connection, secret, client.id, text)
    body = {"request_uri": PREFIX + secret, "expires_in": LIFE_SECONDS}
    return server.handle_response(201, body, [("Content-Type", "application/json")])


async def _insert(connection: Connection, secret: str, client_id: str, parameters: str) -> None:
    await connection.execute(
        "INSERT INTO pushed_requests (uri_hash, client_id, parameters, expires_at) "
        "VALUES ($1, $2, $3, now() + make_interval(secs => $4))",
        digest(secret),
        client_id,
        parameters,
        float(LIFE_SECONDS),
    )


async def select_pushed_request(
    connection: Connection, request_uri: str, client_id: str, *, locked: bool
) -> list[tuple[str, str]] | None:
    """Returns the parameters, or None if the reference is unknown, used, too old, or
    another client's.

    `locked`: of two requests at once the second finds it used.
    """
    # PostgreSQL takes no NUL and no lone surrogate.
    if not request_uri.startswith(PREFIX) or not client_id.isprintable():
        return None
    query = (
        "SELECT parameters FROM pushed_requests WHERE uri_hash = $1 AND client_id = $2 "
        "AND expires_at > now()"
    )
    text = await connection.fetchval(
        f"{query} FOR UPDATE" if locked else query,
        digest(request_uri.removeprefix(PREFIX)),
        client_id,
    )
    return parse_qsl(text) if text is not None else None


async def expand(connection: Connection, asked: StarletteOAuth2Request) -> StarletteOAuth2Request:
    """Returns the request that a reference stands for, or the request itself. Raises
    InvalidRequestError.
    """
    request_uri = asked.payload.data.get("request_uri", "")
    if not request_uri.startswith(PREFIX):
        return asked
    client_id = asked.payload.client_id or ""
    parameters = await select_pushed_request(connection, request_uri, client_id, locked=True)
    if parameters is None:
        raise InvalidRequestError("'request_uri' is unknown, used or too old")
    expanded = StarletteOAuth2Request(
        asked.method, asked.uri, asked.headers, query=parameters, form=[]
    )
    expanded.was_pushed = True
    return expanded


async def note_signed_in(connection: Connection, request_uri: str) -> None:
    """Takes `prompt` and `max_age` out of a request whose person has been sent to sign in:
    they are met then. `expand` has locked it.
    """
    if not request_uri.startswith(PREFIX):
        return
    hashed = digest(request_uri.removeprefix(PREFIX))
    text = await connection.fetchval(
        "SELECT parameters FROM pushed_requests WHERE uri_hash = $1", hashed
    )
    if text is None:
        return
    kept = [
        (name, value)
        for name, value in parse_qsl(text)
        if name != "max_age" and not (name == "prompt" and "consent" not in value.split())
    ]
    kept = [(name, "consent" if name == "prompt" else value) for name, value in kept]
    await connection.execute(
        "UPDATE pushed_requests SET parameters = $2 WHERE uri_hash = $1", hashed, urlencode(kept)
    )


async def delete_pushed_request(connection: Connection, request_uri: str) -> None:
    """Uses the reference up, with the code that is issued for it."""
    await connection.execute(
        "DELETE FROM pushed_requests WHERE uri_hash = $1", digest(request_uri.removeprefix(PREFIX))
    )


def check_pushed(asked: StarletteOAuth2Request, pushed_requests_only: bool) -> None:
    """Raises InvalidRequestError for a request in the address by a client that was registered
    to push its own.
    """
    if pushed_requests_only and not asked.was_pushed:
        raise InvalidRequestError("this client pushes its requests: see RFC 9126")
