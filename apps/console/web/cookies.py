"""The console's cookies: `__Host-` over TLS, so that neither a subdomain nor plain HTTP
can plant them.
"""

from starlette.requests import Request
from starlette.responses import Response

SESSION = "console"
SIGN_IN = "console-sign-in"


def cookie_name(name: str, *, secure: bool) -> str:
    """Returns a cookie's name in this deployment."""
    return f"__Host-{name}" if secure else name


def read_cookie(request: Request, name: str) -> str:
    """Gives a cookie's value, empty where the browser sent none."""
    secure = request.state.settings.secure
    return request.cookies.get(cookie_name(name, secure=secure), "")


def set_cookie(
    request: Request, response: Response, name: str, value: str, max_age: int | None = None
) -> None:
    """Sets a cookie that no script reads; Lax, because the sign-in comes back from another page."""
    secure = request.state.settings.secure
    response.set_cookie(
        cookie_name(name, secure=secure),
        value,
        max_age=max_age,
        path="/",
        secure=secure,
        httponly=True,
        samesite="lax",
    )


def clear_cookie(request: Request, response: Response, name: str) -> None:
    """Removes a cookie from the browser."""
    secure = request.state.settings.secure
    response.delete_cookie(
        cookie_name(name, secure=secure), path="/", secure=secure, httponly=True, samesite="lax"
    )
