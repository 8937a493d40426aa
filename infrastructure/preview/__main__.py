"""`scripts/preview up|down|list|reap|status|test|publish`:
the same on a laptop and in a workflow.
"""

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import boto3

from infrastructure.preview.arguments import parse_arguments, parse_lifetime
from infrastructure.preview.base import leftovers_on, read_base
from infrastructure.preview.driver import Driver, PreviewRequest
from infrastructure.preview.errors import (
    AccessDeniedError,
    CommandMissingError,
    LeftBehindError,
    PreviewError,
    StackMissingError,
)
from infrastructure.preview.leftovers import translated_aws_errors
from infrastructure.preview.names import (
    Preview,
    RefusedError,
    parse_base,
    parse_preview,
    preview_of_stack,
)
from infrastructure.preview.preview_tests import (
    PreviewAccess,
    open_access,
    run_system_tests,
    seed,
    wait_until_steady,
)
from infrastructure.preview.price import cost_usd_a_day
from infrastructure.preview.publish import project_alone, publish
from infrastructure.preview.pulls import pulls_listed, pulls_of_github
from infrastructure.preview.reap import parse_life, reap
from infrastructure.preview.report import PreviewRow, render, render_markdown, render_rows
from infrastructure.preview.settings import DEFAULT_LIFETIME, Settings
from infrastructure.preview.stacks import PulumiStacks, Stacks

ROOT = Path(__file__).resolve().parents[2]
DONE, FAILED, REFUSED = 0, 1, 2


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    options = parse_arguments(arguments)
    try:
        # Everything that can be refused is refused before anybody is asked for anything.
        base = parse_base(options.base)
        number: str | None = getattr(options, "pr", None)
        preview = parse_preview(number) if number is not None else None
        lifetime = parse_lifetime(options.ttl) if "ttl" in options else DEFAULT_LIFETIME
        settings = Settings.from_environment(
            environ, lambda region: account_id(open_session(region))
        )
        session = open_session(settings.region)
        if options.command == "publish":
            publish_base(base, settings)
            return DONE
        stacks = open_stacks(ROOT, settings)
        driver = Driver(
            base=base,
            stacks=stacks,
            leftovers=leftovers_on(read_base(stacks, base), session),
            say=say,
        )
        if options.command == "list":
            say(render_rows(list_previews(stacks)))
        elif options.command == "reap":
            return reap_all(
                driver,
                options,
                environ,
                preview,
                dry_run=not choose(options.apply, settings.in_workflow),
            )
        elif preview is None:
            raise RefusedError("--pr is required")
        elif options.command == "status":
            return status(driver, preview)
        elif options.command == "down":
            driver.down(preview)
        elif options.command == "test":
            run_system_tests(access_to(session, outputs_of(stacks, preview)))
        else:
            brought = driver.up(
                preview,
                PreviewRequest(
                    region=settings.region,
                    lifetime=lifetime,
                    keep=options.keep,
                    spot=not options.on_demand,
                    at_once=settings.at_once,
                ),
            )
            cost = cost_usd_a_day(preview, base)
            if options.markdown:
                Path(options.markdown).write_text(render_markdown(brought, cost), encoding="utf-8")
            try:
                wait_until_steady(session.client("ecs"), brought.outputs)
                if not options.empty:
                    seed(access_to(session, brought.outputs))
            finally:
                say(render(brought, cost))
    except RefusedError as refusal:
        print(refusal, file=sys.stderr)
        return REFUSED
    except PreviewError as fault:
        print(fault, file=sys.stderr)
        if options.command == "up" and not isinstance(
            fault, (CommandMissingError, AccessDeniedError, LeftBehindError)
        ):
            print(
                f"What it made so far stays, for the next up or scripts/preview down --pr "
                f"{options.pr}",
                file=sys.stderr,
            )
        return FAILED
    return DONE


def open_stacks(root: Path, settings: Settings) -> PulumiStacks:
    return PulumiStacks(
        root, settings.backend, settings.secrets_provider, {"AWS_REGION": settings.region}
    )


def publish_base(base: str, settings: Settings) -> None:
    with project_alone(ROOT) as folder:
        source = PulumiStacks(ROOT, settings.base_backend, "default", {})
        if not publish(base, source, open_stacks(folder, settings)):
            say(f"{base} itself lies where previews look: there is nothing to publish")


def choose(given: bool | None, default: bool) -> bool:
    return default if given is None else given


def open_session(region: str) -> boto3.Session:
    # Given to it: boto3 knows AWS_DEFAULT_REGION alone.
    with translated_aws_errors("sign in"):
        return boto3.Session(region_name=region)


def account_id(session: boto3.Session) -> str:
    with translated_aws_errors("ask who we are"):
        return str(session.client("sts").get_caller_identity()["Account"])


def outputs_of(stacks: Stacks, preview: Preview) -> Mapping[str, Any]:
    try:
        return stacks.outputs(preview.stack)
    except StackMissingError as missing:
        raise StackMissingError(
            f"{preview.stack} is not up: scripts/preview up --pr {preview.number}"
        ) from missing


def access_to(session: boto3.Session, outputs: Mapping[str, Any]) -> PreviewAccess:
    return open_access(outputs, session.client("secretsmanager"))


def list_previews(stacks: Stacks) -> list[PreviewRow]:
    rows = []
    for listed in stacks.listed():
        if preview := preview_of_stack(listed.name):
            life = parse_life(stacks.config(listed.name))
            url = str(stacks.outputs(listed.name).get("url", ""))
            rows.append(
                PreviewRow(
                    preview=preview,
                    base=life.base or "?",
                    expires=life.expires,
                    keep=life.keep,
                    resources=listed.resources,
                    url=url,
                )
            )
    return sorted(rows, key=lambda row: row.preview)


def status(driver: Driver, preview: Preview) -> int:
    rows = [row for row in list_previews(driver.stacks) if row.preview == preview]
    found = driver.leftovers.find().of(preview)
    nothing = (
        "it has no stack, but"
        if found.left
        else "there is no such preview, and nothing is left of one"
    )
    say(render_rows(rows) if rows else f"{preview.stack}: {nothing}")
    for line in found.left:
        say(f"  {line}")
    return DONE if rows and not found.unseen else FAILED


def reap_all(
    driver: Driver,
    options: argparse.Namespace,
    environ: Mapping[str, str],
    only: Preview | None,
    *,
    dry_run: bool,
) -> int:
    find_pull = (
        pulls_of_github(environ) if options.open_prs is None else pulls_listed(options.open_prs)
    )
    reaped = reap(driver, find_pull, dry_run=dry_run, only=only)
    for line in (*reaped.failures, *reaped.unseen):
        print(line, file=sys.stderr)
    over = [verdict.preview.number for verdict in reaped.verdicts if verdict.over]
    if options.over:
        with Path(options.over).open("a", encoding="utf-8") as file:
            file.write(f"numbers={over}\n")
    say(
        f"{len(over)} of {len(reaped.verdicts)} "
        f"over{': a dry run, nothing was touched (--apply)' if dry_run else ''}"
    )
    return FAILED if reaped.failed else DONE


def say(line: str) -> None:
    print(line, flush=True)


def stop(number: int, frame: FrameType | None) -> None:
    # Pulumi has the signal too, as one of the group: it ends its step, writes its state and gives
    # the lock back.
    print("stopping after the step that runs", file=sys.stderr)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, stop)
    sys.exit(main(sys.argv[1:], os.environ))
