"""Whether a pull request is still open, and whether somebody wants its preview kept."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infrastructure.preview.errors import PreviewError
from infrastructure.preview.names import Preview, RefusedError, parse_preview

KEEP_LABEL = "preview-keep"
TIMEOUT_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Pull:
    open: bool
    keep: bool = False


FindPull = Callable[[Preview], Pull]


def pulls_listed(text: str) -> FindPull:
    """Reads pull requests from `--open-prs 12,15`: every other pull request is closed. An empty
    text: none is open.
    """
    numbers = {parse_preview(part.strip()) for part in text.split(",") if part.strip()}
    return lambda preview: Pull(open=preview in numbers)


def pulls_of_github(environ: Mapping[str, str]) -> FindPull:
    """Asks GitHub for one pull request at a time, by number. Raises Refusal, Fault.

    404 means that there is none, but also that the caller may not see any: then nothing is
    concluded from it.
    """
    repository = environ.get("GITHUB_REPOSITORY", "")
    token = environ.get("GITHUB_TOKEN") or environ.get("GH_TOKEN") or ""
    if repository.count("/") != 1 or not token:
        raise RefusedError(
            "reap asks GitHub which pull requests are open: set GITHUB_REPOSITORY (owner/name) and"
            " GITHUB_TOKEN, or name the open ones with --open-prs"
        )
    pulls = f"{environ.get('GITHUB_API_URL', 'https://api.github.com')}/repos/{repository}/pulls"

    def ask(url: str) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the API's own address
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return json.load(response)

    def find(preview: Preview) -> Pull:
        try:
            try:
                return parse_pull(ask(f"{pulls}/{preview.number}"))
            except urllib.error.HTTPError as error:
                if error.code != 404:
                    raise
                ask(f"{pulls}?per_page=1")
                return Pull(open=False)
        except (OSError, ValueError) as error:
            raise PreviewError(
                f"GitHub does not say whether #{preview.number} is open: {error}"
            ) from error

    return find


def parse_pull(body: Mapping[str, object]) -> Pull:
    labels = body.get("labels")
    names = (
        {label.get("name") for label in labels if isinstance(label, dict)}
        if isinstance(labels, list)
        else set()
    )
    return Pull(open=body.get("state") == "open", keep=KEEP_LABEL in names)
