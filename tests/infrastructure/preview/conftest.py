"""A `pulumi` on the PATH that notes what it is asked and answers what it was told; an account in
moto.
"""

import itertools
import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

# Answers by the words that a call begins with; the longest beginning wins. "!" exits 255 with the
# rest as an error.
COMMAND = """#!{python}
import json, os, sys
arguments = [each for each in sys.argv[1:] if each != "--non-interactive"]
with open(os.environ["NOTES"], "a") as notes:
    notes.write(json.dumps(arguments) + "\\n")
answers = json.load(open(os.environ["ANSWERS"]))
words = " ".join(arguments)
found = max((key for key in answers if words.startswith(key)), key=len, default=None)
answer = answers[found] if found is not None else ""
if answer.startswith("!"):
    print(answer[1:], file=sys.stderr)
    sys.exit(255)
print(answer)
"""
HISTORY = [
    {
        "kind": "update",
        "startTime": "2026-01-31T12:00:00.000Z",
        "endTime": "2026-01-31T12:05:00.000Z",
        "message": "",
        "environment": {},
        "config": {},
        "result": "succeeded",
        "resourceChanges": {"create": 61},
    }
]


class Pulumi:
    def __init__(self, folder: Path) -> None:
        self.notes, self.answers = folder / "notes", folder / "answers"
        self.answer(
            {
                "version": "v3.272.0",
                "stack history": json.dumps(HISTORY),
                "stack export": json.dumps({"version": 3, "deployment": {}}),
                "stack output": "{}",
                "config --show-secrets": "{}",
            }
        )

    def answer(self, answers: dict[str, str]) -> None:
        known = json.loads(self.answers.read_text()) if self.answers.exists() else {}
        self.answers.write_text(json.dumps(known | answers))

    @property
    def asked(self) -> list[str]:
        return [" ".join(json.loads(line)) for line in self.notes.read_text().splitlines()]


@pytest.fixture
def pulumi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pulumi:
    command = tmp_path / "bin" / "pulumi"
    command.parent.mkdir()
    command.write_text(COMMAND.replace("{python}", sys.executable))
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(command.parent))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("ANSWERS", str(tmp_path / "answers"))
    return Pulumi(tmp_path)


ACCOUNTS = itertools.count(210_000_000_000)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    """In an account of its own: moto may be under way already, with what other tests made."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        role = f"arn:aws:iam::{next(ACCOUNTS)}:role/tests"
        credentials = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="tests")[
            "Credentials"
        ]
        yield boto3.Session(
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials["SessionToken"],
            region_name="us-east-1",
        )
