import pytest

from infrastructure.preview.names import (
    DATABASE,
    IMAGE_TAG,
    TOPIC,
    Preview,
    RefusedError,
    parse_base,
    parse_preview,
    preview_of,
    preview_of_stack,
)
from infrastructure.preview.pulls import Pull, parse_pull, pulls_listed, pulls_of_github

pytestmark = pytest.mark.infrastructure


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "012", "1.5", "pr-1", "49000", "99999", "\u0661", "1 ", "1\n", "1;drop"]
)
def test_what_is_no_number_of_a_pull_request_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="--pr takes"):
        parse_preview(text)


def test_production_is_no_base() -> None:
    with pytest.raises(RefusedError, match="never runs on production"):
        parse_base("prod")


@pytest.mark.parametrize("text", ["", "DEV", "pr-1", "dev "])
def test_unknown_base_is_refused(text: str) -> None:
    with pytest.raises(RefusedError, match="dev or staging"):
        parse_base(text)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("pr_1_patient", 1),
        ("pr_12_patient", 12),
        ("pr_12_patient_owner", 12),
        ("patient", None),
        ("pr_0_patient", None),
    ],
)
def test_database_belongs_to_the_preview_that_its_whole_prefix_names(
    name: str, number: int | None
) -> None:
    assert preview_of(name, DATABASE) == (Preview(number) if number else None)


@pytest.mark.parametrize(
    "name", ["pr_1patient", "pr__patient", "xpr_1_patient", "pr_1_", "pr_1_patient\n", "pr_49000_a"]
)
def test_database_that_only_looks_like_a_previews_is_nobodys(name: str) -> None:
    assert preview_of(name, DATABASE) is None


def test_prefixes_end_at_their_delimiter() -> None:
    one, twelve = Preview(1), Preview(12)
    assert not "pr_12_patient".startswith(one.database_prefix)
    assert not "pr-12.patient".startswith(one.topic_prefix)
    assert not "pr-12-abc".startswith(one.image_tag_prefix)
    assert preview_of("pr-12.patient.dlq", TOPIC) == twelve
    assert preview_of("patient", TOPIC) is None
    assert preview_of("pr-12-0a1b", IMAGE_TAG) == twelve
    assert preview_of("cache-main", IMAGE_TAG) is None
    assert preview_of_stack("pr-12") == twelve
    assert preview_of_stack("dev") is None


def test_pull_requests_may_be_listed_by_hand() -> None:
    find = pulls_listed("3, 12")
    assert [find(Preview(number)).open for number in (3, 12, 1)] == [True, True, False]
    assert pulls_listed("")(Preview(3)) == Pull(open=False)


def test_github_is_not_asked_without_a_token() -> None:
    with pytest.raises(RefusedError, match="--open-prs"):
        pulls_of_github({"GITHUB_REPOSITORY": "owner/name"})


def test_pull_request_is_read_from_githubs_answer() -> None:
    assert parse_pull({"state": "open", "labels": [{"name": "preview-keep"}]}) == Pull(
        open=True, keep=True
    )
    assert parse_pull({"state": "closed", "labels": []}) == Pull(open=False)
