"""Writes a text into a pull request as one comment, which the next text replaces. Needs Python alone.

`python3 -m infrastructure.preview.comment --pr N --mark plan FILE`; GITHUB_REPOSITORY and GITHUB_TOKEN say where.
"""

import argparse
import json
import os
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 20
# GitHub takes 65536 characters.
LONGEST_CHARACTERS = 60_000
PAGE_SIZE = 100
PAGES = 50
AUTHOR = "github-actions[bot]"

# Method, path below the API, body.
Call = Callable[[str, str, Mapping[str, str] | None], Any]


def write(call: Call, repository: str, pr: int, mark: str, text: str) -> None:
    """The comment is found again by a line that nobody sees, and by its author: a person may quote that line."""
    sign = f"<!-- patient-management: {mark} -->"
    if len(text) > LONGEST_CHARACTERS:
        text = f"{text[:LONGEST_CHARACTERS]}\n\n… the rest is in the run's summary.\n"
    body = {"body": f"{sign}\n{text}"}
    found = find(call, repository, pr, sign)
    if found is None:
        call("POST", f"/repos/{repository}/issues/{pr}/comments", body)
    else:
        call("PATCH", f"/repos/{repository}/issues/comments/{found}", body)


def find(call: Call, repository: str, pr: int, sign: str) -> int | None:
    for page in range(1, PAGES + 1):
        comments = call("GET", f"/repos/{repository}/issues/{pr}/comments?per_page={PAGE_SIZE}&page={page}", None)
        for comment in comments:
            if str(comment["body"]).startswith(sign) and comment["user"]["login"] == AUTHOR:
                return int(comment["id"])
        if len(comments) < PAGE_SIZE:
            break
    return None


def github(environ: Mapping[str, str]) -> Call:
    api, token = environ.get("GITHUB_API_URL", "https://api.github.com"), environ["GITHUB_TOKEN"]

    def call(method: str, path: str, body: Mapping[str, str] | None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the API's own address
            api + path,
            json.dumps(body).encode() if body is not None else None,
            {
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "Content-Type": "application/json",
            },
            method=method,
        )
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return json.load(response)

    return call


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    parser = argparse.ArgumentParser(prog="python3 -m infrastructure.preview.comment")
    parser.add_argument("--pr", type=int, required=True)
    parser.add_argument("--mark", required=True)
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    text = options.file.read_text(encoding="utf-8")
    write(github(environ), environ["GITHUB_REPOSITORY"], options.pr, options.mark, text)


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
