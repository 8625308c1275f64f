"""`claimbus topics --format kubernetes`: what Strimzi's API takes, with names that Kubernetes takes."""

import io
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML
from typer.testing import CliRunner

from operations.command import app
from operations.topics import Api, NoResource, kubernetes
from shared.contract.topics import OPERATOR, SERVICES, TOPICS

NAME = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
"""RFC 1123."""


def fields(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def one_of(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
ACL = fields(
    ["resource", "operations"],
    type=one_of("allow", "deny"),
    host=TEXT,
    resource=fields(
        ["type"],
        type=one_of("topic", "group", "cluster", "transactionalId"),
        name=TEXT,
        patternType=one_of("literal", "prefix"),
    ),
    operations={"type": "array", "items": one_of("Read", "Write", "Create", "Delete", "Alter", "Describe", "All")},
)
SPECS = {
    "KafkaTopic": fields(
        [],
        topicName=TEXT,
        partitions={"type": "integer", "minimum": 1},
        replicas={"type": "integer", "minimum": 1, "maximum": 32767},
        config={"type": "object", "additionalProperties": TEXT},
    ),
    "KafkaUser": fields(
        [],
        authentication=fields(["type"], type=one_of("tls", "tls-external", "scram-sha-512")),
        authorization=fields(["type", "acls"], type=one_of("simple"), acls={"type": "array", "items": ACL}),
        quotas=fields([], producerByteRate=COUNT, consumerByteRate=COUNT),
    ),
}
"""The fields that Strimzi 1.2 has in v1 of its API, as far as any of ours could be among them. v1 has no others: what
v1beta2 alone had, such as an ACL's one `operation`, is dropped or refused there."""


def whole(kind: str) -> dict[str, Any]:
    metadata = fields(
        ["name", "labels"],
        name={"type": "string", "pattern": NAME, "maxLength": 253},
        labels=fields([], **{"strimzi.io/cluster": TEXT}),
    )
    return fields(
        ["apiVersion", "kind", "metadata", "spec"], apiVersion=TEXT, kind=TEXT, metadata=metadata, spec=SPECS[kind]
    )


TAKEN = {kind: Draft202012Validator(whole(kind)) for kind in SPECS}


def check(resource: dict[str, Any], api: str) -> None:
    assert resource["apiVersion"] == f"kafka.strimzi.io/{api}"
    TAKEN[resource["kind"]].validate(resource)


def test_what_a_resource_is_held_against_is_a_schema() -> None:
    for validator in TAKEN.values():
        validator.check_schema(validator.schema)


def written(*words: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["topics", "--format=kubernetes", *words])
    assert done.exit_code == 0, done.stderr
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)  # as Kubernetes reads it, for which `on` is true and 1_0 a number
    return list(yaml.load_all(io.StringIO(done.stdout)))


@pytest.mark.parametrize(("words", "api"), [((), "v1"), (("--api=v1",), "v1"), (("--api=v1beta2",), "v1beta2")])
def test_every_resource_is_one_that_strimzi_takes(words: tuple[str, ...], api: str) -> None:
    resources = written("--company=vest", *words)
    for resource in resources:
        check(resource, api)
    users = [resource["metadata"]["name"] for resource in resources if resource["kind"] == "KafkaUser"]
    assert users == [OPERATOR, *SERVICES, "vest"]
    topics = [resource["metadata"]["name"] for resource in resources if resource["kind"] == "KafkaTopic"]
    assert len(topics) == len(set(topics)) == len(TOPICS) + 2
    refusals = [acl for r in resources for acl in r["spec"].get("authorization", {}).get("acls", []) if "type" in acl]
    assert [acl["type"] for acl in refusals] == ["deny"]


@pytest.mark.parametrize(
    "company", ["on", "no", "y", "null", "12", "1e3", "0x1f", "0o17", "2026-11-24", "1-", "a" * 63]
)
def test_a_companys_name_is_a_text_for_kubernetes_whatever_it_looks_like(company: str) -> None:
    if company.endswith("-"):
        done = CliRunner().invoke(app, ["topics", "--format=kubernetes", f"--company={company}"])
        assert done.exit_code == 1
        assert done.stdout == ""
        assert f"no resource that is called {company}" in done.stderr
        return
    resources = written(f"--company={company}")
    assert resources[-1]["metadata"]["name"] == company
    assert [acl["resource"]["name"] for acl in resources[-1]["spec"]["authorization"]["acls"]] == [
        f"{company}.",
        f"requests.{company}",
        f"events.{company}",
    ]


@settings(deadline=None)
@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,62}", fullmatch=True))
def test_whatever_a_company_is_called_its_resources_are_taken_or_it_is_told_why_not(company: str) -> None:
    made = []
    try:
        for resource in kubernetes([company], "claimbus", 3, Api.V1):
            made.append(resource)
            if company in str(resource["metadata"]["name"]):
                check(resource, "v1")
    except NoResource:
        assert company.endswith("-")
    of_company = [r["spec"].get("topicName", r["metadata"]["name"]) for r in made if r["kind"] == "KafkaTopic"]
    assert {f"requests.{company}", f"events.{company}"} <= set(of_company)
    assert company.endswith("-") or made[-1]["metadata"]["name"] == company


@pytest.mark.parametrize("company", ["operator", "portal", "Vest", "vest.no", "-vest", "å", "", "a" * 64, "a\n"])
def test_what_no_company_can_be_called_is_refused(company: str) -> None:
    done = CliRunner().invoke(app, ["topics", "--format=kubernetes", f"--company={company}"])
    assert done.exit_code == 1
    assert "no company can have this id" in done.stderr


def test_a_company_that_is_named_twice_is_there_once() -> None:
    names = [(r["kind"], r["metadata"]["name"]) for r in written("--company=vest", "--company=vest")]
    assert len(names) == len(set(names))


def test_no_resource_of_ours_is_of_an_api_that_strimzi_1_does_not_serve() -> None:
    done = CliRunner().invoke(app, ["topics", "--format=kubernetes"])
    assert not re.search("v1beta2|v1alpha1", done.stdout)
