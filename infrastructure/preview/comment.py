"""Writes a text into a pull request as one comment, which the next text replaces.

Needs Python alone.

`python3 -m infrastructure.preview.comment --pr N --mark plan FILE`; GITHUB_REPOSITORY and
GITHUB_TOKEN say where.
"""

import argparse
import json
import os
import re
import sys
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 20
# GitHub takes 65536 characters.
LONGEST_CHARACTERS = 60_000
# In UTF-8; what a pull request's code wrote may be of any size.
LONGEST_BYTES = 4 * LONGEST_CHARACTERS
# Whoever is named in a comment is written to by GitHub. An address of somebody's mail names nobody.
MENTION = re.compile(r"(?<![\w.])@(?=\w)")
NOBODY = "@\u200b"
PAGE_SIZE = 100
PAGES = 50
AUTHOR = "github-actions[bot]"

# Method, path below the API, body.
Call = Callable[[str, str, Mapping[str, str] | None], Any]


def write(call: Call, repository: str, pr: int, mark: str, text: str) -> None:
    """Writes the comment, which is found again by a line that nobody sees, and by its author: a
    person may quote that line.
    """
    sign = f"<!-- patient-management: {mark} -->"
    body = {"body": f"{sign}\n{cut(MENTION.sub(NOBODY, text))}"}
    found = find(call, repository, pr, sign)
    if found is None:
        call("POST", f"/repos/{repository}/issues/{pr}/comments", body)
    else:
        call("PATCH", f"/repos/{repository}/issues/comments/{found}", body)


def cut(text: str) -> str:
    """Cuts text to what GitHub takes, at a line's end; what was open there is closed, so that the
    last words are read as such.
    """
    if len(text) <= LONGEST_CHARACTERS:
        return text
    kept = text[:LONGEST_CHARACTERS].rpartition("\n")[0] or text[:LONGEST_CHARACTERS]
    fence = "\n```" if kept.count("```") % 2 else ""
    folded = "\n\n</details>" if kept.count("<details>") > kept.count("</details>") else ""
    return f"{kept}{fence}{folded}\n\n… the rest is in the run's summary.\n"


def read_bounded(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(LONGEST_BYTES).decode(errors="replace")


def find(call: Call, repository: str, pr: int, sign: str) -> int | None:
    for page in range(1, PAGES + 1):
        comments = call(
            "GET",
            f"/repos/{repository}/issues/{pr}/comments?per_page={PAGE_SIZE}&page={page}",
            None,
        )
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
    write(
        github(environ),
        environ["GITHUB_REPOSITORY"],
        options.pr,
        options.mark,
        read_bounded(options.file),
    )


if __name__ == "__main__":
    main(sys.argv[1:], os.environ)
