"""Programs of others that sign a person in: started here, and the person's browser driven where
they ask for it.
"""

import json
import re
import shutil
import subprocess
import sys
from functools import cache
from hashlib import sha256
from html import unescape
from pathlib import Path
from typing import Any

import httpx

HERE = Path(__file__).parent
CACHE = HERE.parents[2] / ".local" / "clients"
INSTALL_SECONDS = 300
ANSWER_SECONDS = 300
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
ACTION = re.compile(r'<form method="post" action="([^"]+)">')
MAX_PAGES = 20


@cache
def node_modules() -> Path:
    """Installs the packages of package-lock.json into a folder of the cache, once for each
    content of the lock.
    """
    lock = (HERE / "package-lock.json").read_bytes()
    folder = CACHE / sha256(lock).hexdigest()[:16]
    if not (folder / "installed").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, check=True, timeout=INSTALL_SECONDS)
        (folder / "installed").touch()
    return folder


def run_node(script: str, settings: dict[str, Any], person: "Person") -> dict[str, Any]:
    folder = node_modules()
    for name in (script, "talk.mjs"):
        shutil.copy(HERE / name, folder)
    return converse(["node", str(folder / script)], settings, person)


def run_nimbus(settings: dict[str, Any], person: "Person") -> dict[str, Any]:
    return converse([sys.executable, "-m", "tests.auth.clients.nimbus"], settings, person)


def converse(command: list[str], settings: dict[str, Any], person: "Person") -> dict[str, Any]:
    """Runs the program to its end; opens for the person what it asks for. Returns what it
    tells at last.
    """
    with subprocess.Popen(
        command,
        cwd=HERE.parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as program:
        assert program.stdin and program.stdout and program.stderr
        try:
            program.stdin.write(json.dumps(settings) + "\n")
            program.stdin.flush()
            for line in program.stdout:
                if not line.startswith("{"):
                    continue
                message = json.loads(line)
                if "done" in message:
                    result: dict[str, Any] = message["done"]
                    return result
                program.stdin.write(person.open(message["open"]) + "\n")
                program.stdin.flush()
            raise AssertionError(program.stderr.read()[-4000:])
        finally:
            program.kill()


class Person:
    """Somebody with a browser without a screen: signs in, allows, confirms; stops where the
    application takes over.
    """

    def __init__(self, url: str, email: str, password: str) -> None:
        self.url = url
        self.fields = {"email": email, "password": password}
        self.http = httpx.Client(base_url=url, headers={"Accept": "text/html"}, timeout=30)

    def open(self, url: str) -> str:
        """Returns the address of the application that the browser was sent to, or
        the last page's.
        """
        response = self.http.get(url)
        for _ in range(MAX_PAGES):
            location: str = response.headers.get("location", "")
            if response.is_redirect and not self.is_ours(location):
                return location
            if response.is_redirect:
                response = self.http.get(location)
            elif ACTION.search(response.text) and "Your account" not in response.text:
                response = self.send(response)
            else:
                return str(response.url)
        raise AssertionError(f"no end: {response.url}")

    def is_ours(self, location: str) -> bool:
        return location.startswith(("/", self.url))

    def send(self, page: httpx.Response) -> httpx.Response:
        """Sends the page's form with what it hides, the person's words, and consent."""
        action = ACTION.search(page.text)
        assert action and 'role="alert"' not in page.text, page.text
        hidden = {name: unescape(value) for name, value in HIDDEN.findall(page.text)}
        code = re.search(r'name="user_code" type="text"[^>]* value="([^"]*)"', page.text)
        asked = {"user_code": code[1]} if code else {}
        decision = {"decision": "allow"} if 'name="decision"' in page.text else {}
        wanted = self.fields if 'name="email"' in page.text else {}
        form = {**hidden, **wanted, **asked, **decision}
        return self.http.post(unescape(action[1]), data=form)
