"""What is concluded from GitHub's answers, given by a server on loopback."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from infrastructure.preview.errors import PreviewError
from infrastructure.preview.names import Preview
from infrastructure.preview.pulls import FindPull, Pull, pulls_of_github

pytestmark = pytest.mark.infrastructure

OPEN = {"state": "open", "labels": []}
PULLS = "/repos/owner/name/pulls"


@pytest.fixture
def answers() -> dict[str, tuple[int, object]]:
    """By path; 404 for every other."""
    return {}


@pytest.fixture
def find(answers: dict[str, tuple[int, object]]) -> Iterator[FindPull]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, {"message": "Not Found"}))
            self.send_response(status if self.headers["Authorization"] == "Bearer token" else 401)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}"
        yield pulls_of_github(
            {"GITHUB_REPOSITORY": "owner/name", "GITHUB_TOKEN": "token", "GITHUB_API_URL": url}
        )
        server.shutdown()


def test_what_is_not_among_pull_requests_that_can_be_seen_is_closed(
    find: FindPull, answers: dict[str, tuple[int, object]]
) -> None:
    answers[f"{PULLS}/7"] = (200, OPEN)
    answers[f"{PULLS}?per_page=1"] = (200, [OPEN])
    assert find(Preview(7)) == Pull(open=True)
    assert find(Preview(8)) == Pull(open=False)


def test_who_may_see_no_pull_request_takes_none_for_closed(find: FindPull) -> None:
    with pytest.raises(PreviewError, match="GitHub does not say whether #8 is open"):
        find(Preview(8))


@pytest.mark.parametrize("status", [401, 403, 500])
def test_nothing_is_concluded_from_a_refusal(
    find: FindPull, answers: dict[str, tuple[int, object]], status: int
) -> None:
    answers[f"{PULLS}/7"] = (status, {})
    with pytest.raises(PreviewError, match=str(status)):
        find(Preview(7))
