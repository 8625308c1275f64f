"""What a decider needs to know is declared with it, and it cannot ask for more: not loaded is not *there is none*."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any
from uuid import UUID

import pytest

from services.claims import link_rules, rules
from services.claims.batch import declared_needs
from services.claims.commands import Command, Step
from services.claims.decisions import Needs, NotLoaded, Records
from shared.contract import ids
from shared.contract.fields import Actor
from shared.contract.linking import (
    STEPS_FOR_CLAIMS,
    AbandonLink,
    FinishLink,
    GiveUpImport,
    ImportContent,
    LinkFailure,
    LinkStep,
    WithdrawContent,
)
from shared.contract.requests import REQUESTS, DirectoryRequest
from shared.contract.topics import OPERATOR
from tests.builders.commands import (
    INSURER,
    NO_CLAIM,
    PLUMBER,
    Desk,
    about,
    creation,
    empty_batch,
    registration,
)
from tests.builders.moments import TUESDAY_EVENING

LINK = UUID(int=1)
CREATED, TARGET = ids.claim_id(PLUMBER, "creation"), ids.claim_id(INSURER, "registration")
ACTOR = Actor(company=INSURER)


def step(claim: UUID, model: type[LinkStep], **body: Any) -> Step:
    return Step(model(link_id=LINK, part=1, actor=ACTOR, **body), claim, TUESDAY_EVENING, "cause")


def linked() -> Desk:
    """A temporary claim that is being linked to a normal one."""
    desk = Desk()
    claim, target = desk.create(), desk.register("SK-1")
    desk.ask(claim, "link-claim", INSURER, target_claim_id=str(target.id))
    return desk


def link_of(desk: Desk) -> UUID:
    link = desk.batch.claims[CREATED].link
    assert link is not None
    return link.link_id


REFUSED = {"company": PLUMBER, "request_id": "refused"}
NEEDS: dict[str, tuple[str, Callable[[], Command | Step]]] = {
    "a claim number for a creation": ("numbers", lambda: creation("other")),
    "a claim number for a registration": ("numbers", lambda: registration("SK-2", "other")),
    "a claim number for a conversion": (
        "numbers",
        lambda: about(CREATED, "convert-to-normal", INSURER, "c", claim_number="SK-2", handler="kari"),
    ),
    "the target of a link": ("claims", lambda: about(CREATED, "link-claim", INSURER, "l", target_claim_id=str(TARGET))),
    "the target of a link by its number": (
        "claims_by_number",
        lambda: about(CREATED, "link-claim", INSURER, "by number", target_claim_number="SK-1"),
    ),
    "the history of a claim to redact": ("histories", lambda: about(TARGET, "redact-claim", INSURER, "redact")),
    "the history of a claim to link": (
        "histories",
        lambda: about(CREATED, "link-claim", INSURER, "l", target_claim_id=str(TARGET)),
    ),
    "a refused creation": (
        "refused_creations",
        lambda: about(
            ids.claim_id(PLUMBER, "refused"), "republish-claim", OPERATOR, "r", reader="reporting", refused=REFUSED
        ),
    ),
    "whether an import was given up": (
        "steps",
        lambda: step(
            TARGET,
            ImportContent,
            source_claim_id=CREATED,
            source_claim_number="Midlertidig 1",
            source_audience=[INSURER],
            target_claim_id=TARGET,
            tasks=[],
        ),
    ),
    "whether content was imported": (
        "steps",
        lambda: step(TARGET, GiveUpImport, source_claim_id=CREATED, reason=LinkFailure.MEDIA_GONE),
    ),
    "the history of a target to withdraw from": (
        "histories",
        lambda: step(TARGET, WithdrawContent, source_claim_id=CREATED, source_audience=[INSURER]),
    ),
}


def desk_with_both() -> Desk:
    desk = Desk()
    desk.create()
    desk.register("SK-1")
    return desk


@pytest.mark.parametrize(("kind", "make"), NEEDS.values(), ids=NEEDS)
def test_a_decider_that_asks_for_what_it_did_not_declare_fails_instead_of_refusing(
    kind: str, make: Callable[[], Command | Step]
) -> None:
    desk, command = desk_with_both(), make()
    declared = declared_needs([command])[command.key]
    assert getattr(declared, kind)
    own_claim: Any = frozenset({command.claim_id} if kind == "claims" else ())
    desk.batch.needs[command.key] = replace(declared, **{kind: own_claim})
    with pytest.raises(NotLoaded):
        desk.batch.decide_in_order([command])
    assert command.key not in desk.batch.decided
    desk.batch.needs[command.key] = declared
    desk.decide(command)


@pytest.mark.parametrize("model", [FinishLink, AbandonLink])
def test_ending_a_link_needs_the_history_of_its_source(model: type[LinkStep]) -> None:
    desk = linked()
    body: dict[str, Any] = (
        {"target_claim_id": TARGET, "target_claim_number": "SK-1"}
        if model is FinishLink
        else {"reason": LinkFailure.MEDIA_GONE}
    )
    command = Step(model(link_id=link_of(desk), part=1, actor=ACTOR, **body), CREATED, TUESDAY_EVENING, "cause")
    declared = declared_needs([command])[command.key]
    desk.batch.needs[command.key] = replace(declared, histories=frozenset())
    with pytest.raises(NotLoaded):
        desk.batch.decide_in_order([command])
    desk.batch.needs[command.key] = declared
    assert desk.decide(command).events


def test_a_command_for_which_nothing_was_loaded_is_not_decided() -> None:
    batch = empty_batch()
    with pytest.raises(NotLoaded):
        batch.decide_in_order([creation()])
    assert not batch.decided


@pytest.mark.parametrize(
    "ask",
    [
        lambda records: records.is_taken(INSURER, "SK-1"),
        lambda records: records.claim(TARGET),
        lambda records: records.claim_with_number(INSURER, "SK-1"),
        lambda records: records.history(CREATED),
        lambda records: records.is_decided("step"),
        lambda records: records.is_refused_creation(PLUMBER, "refused"),
    ],
    ids=["number", "claim", "claim with number", "history", "step", "refused creation"],
)
def test_whoever_needs_nothing_more_can_ask_for_nothing(ask: Callable[[Records], object]) -> None:
    desk = desk_with_both()
    command = about(CREATED, "cancel-claim", INSURER, "cancellation")
    desk.batch.needs |= declared_needs([command])
    with pytest.raises(NotLoaded):
        ask(desk.batch.records_for(command))


def test_a_number_in_use_whose_claim_was_not_loaded_is_not_a_number_of_no_claim() -> None:
    command = about(CREATED, "link-claim", INSURER, "l", target_claim_number="SK-1")
    batch = empty_batch(numbers={(INSURER, "SK-1"): NO_CLAIM})
    batch.needs = declared_needs([command])
    with pytest.raises(NotLoaded):
        batch.records_for(command).claim_with_number(INSURER, "SK-1")


def test_one_commands_needs_are_not_anothers() -> None:
    desk = desk_with_both()
    link = about(CREATED, "link-claim", INSURER, "l", target_claim_id=str(TARGET))
    cancellation = about(CREATED, "cancel-claim", INSURER, "c")
    desk.batch.needs |= declared_needs([link, cancellation])
    assert desk.batch.records_for(link).claim(TARGET) is not None
    with pytest.raises(NotLoaded):
        desk.batch.records_for(cancellation).claim(TARGET)


def test_every_request_and_step_has_its_decider_with_its_needs() -> None:
    about_claims = {request for request in REQUESTS.values() if not issubclass(request, DirectoryRequest)}
    assert rules._DECIDERS.keys() == about_claims
    assert link_rules._DECIDERS.keys() == {*STEPS_FOR_CLAIMS.values()}


def test_the_needs_of_a_batch_are_those_of_all_its_commands() -> None:
    commands = [make() for _, make in NEEDS.values()]
    together = Needs().union(*declared_needs(commands).values())
    assert all(getattr(together, each.name) for each in fields(Needs))
