"""Deciding a batch of commands on what the record holds."""

from collections.abc import Sequence

from services.claims.batch import Batch, declared_needs
from services.claims.commands import Command, Step
from services.claims.decisions import RequestKey
from services.claims.published import Published
from services.claims.store import Remembered, Transaction
from shared.media.keys import MediaKeys


async def load_and_decide(
    record: Transaction, commands: Sequence[Command | Step], keys: MediaKeys, published: Published | None = None
) -> tuple[dict[RequestKey, Remembered], Batch]:
    """Find the commands that were decided before; load what the others' deciders declare, and decide them in order.

    What was published counts instead, where it is given.
    """
    needs = declared_needs(commands)
    all_claims = {claim for each in needs.values() for claim in each.claims}
    remembered, claims = await record.remembered_and_claims(needs, all_claims)
    undecided = {key: each for key, each in needs.items() if key not in remembered}
    batch = await record.load(undecided, keys.verify, claims)
    if published is not None:
        batch.instead = published.instead
    batch.decide_in_order([command for command in commands if command.key in undecided])
    return remembered, batch
