"""`scripts/preview publish`, and whose state a preview's commands read and write."""

from typing import Any

import pytest

from infrastructure.preview import __main__ as module
from infrastructure.preview.settings import Settings

pytestmark = pytest.mark.infrastructure
ENVIRONMENT = {
    "AWS_REGION": "us-east-1",
    "PULUMI_BACKEND_URL": "s3://the-bases-own",
    "PREVIEW_BACKEND_URL": "s3://the-previews",
    "PREVIEW_SECRETS_PROVIDER": "awskms:///alias/previews",
}


@pytest.mark.parametrize("done", [True, False])
def test_bases_outputs_are_read_from_its_own_state_and_written_to_the_previews(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], done: bool
) -> None:
    published: list[Any] = []

    def publish(base: str, source: Any, target: Any) -> bool:
        published.append((base, source, target))
        return done

    monkeypatch.setattr(module, "PulumiStacks", lambda *arguments: arguments)
    monkeypatch.setattr(module, "publish", publish)
    assert module.main(["publish"], ENVIRONMENT) == module.DONE
    ((base, source, (folder, *target)),) = published
    assert base == "dev"
    assert source == (module.ROOT, "s3://the-bases-own", "default", {})
    # In a folder of its own: `Pulumi.dev.yaml` stays as it is.
    assert folder != module.ROOT
    assert target == ["s3://the-previews", "awskms:///alias/previews", {"AWS_REGION": "us-east-1"}]
    told = capsys.readouterr().out
    assert told == (
        "" if done else "dev itself lies where previews look: there is nothing to publish\n"
    )


def test_state_of_previews_is_by_default_where_the_base_makes_it() -> None:
    asked: list[str] = []

    def account_id(region: str) -> str:
        asked.append(region)
        return "123456789012"

    settings = Settings.from_environment({"AWS_REGION": "eu-west-1", "CI": "true"}, account_id)
    assert asked == ["eu-west-1"]
    assert "123456789012" in settings.backend
    assert settings.backend.endswith("?region=eu-west-1")
    assert settings.base_backend == settings.backend
    assert settings.secrets_provider.startswith("awskms:///alias/")
    assert settings.in_workflow
    given = Settings.from_environment(
        {"AWS_DEFAULT_REGION": "eu-west-1", "PREVIEW_BACKEND_URL": "file:///there"}, account_id
    )
    assert (given.backend, given.secrets_provider) == ("file:///there", "default")
    assert not given.in_workflow
    assert asked == ["eu-west-1"]
