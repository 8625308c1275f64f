"""Claim numbers are recorded as they are compared: without case and spaces, in one Unicode form.

Of several claims of an insurer whose numbers are now the same, one holds the number; the others keep theirs as it was
written, and are found by that spelling.
"""

import sqlalchemy as sa
from alembic import op

from shared.contract.texts import number_key

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_AT_ONCE = 10_000


def upgrade() -> None:
    """Go forward; in parts, since an insurer can have millions."""
    connection = op.get_bind()
    op.execute("create temporary table keys (insurer text, claim_number text, key text) on commit drop")
    last = {"insurer": "", "number": ""}
    while rows := connection.execute(_NEXT, last | {"most": _AT_ONCE}).all():
        insurers, numbers = ([row[n] for row in rows] for n in (0, 1))
        keys = [number_key(number) for number in numbers]
        connection.execute(_KEEP, {"insurers": insurers, "numbers": numbers, "keys": keys})
        last = {"insurer": insurers[-1], "number": numbers[-1]}
    connection.execute(_REPLACE)


_NEXT = sa.text("""
    select insurer, claim_number from claim_numbers where (insurer, claim_number) > (:insurer, :number)
    order by insurer, claim_number limit :most
""")

_KEEP = sa.text("""
    insert into keys select * from unnest(cast(:insurers as text[]), cast(:numbers as text[]), cast(:keys as text[]))
""")

_REPLACE = sa.text("""
    update claim_numbers set claim_number = holder.key
    from (select distinct on (insurer, key) * from keys
          order by insurer, key, claim_number = key desc, claim_number is nfc normalized desc, claim_number) as holder
    where claim_numbers.insurer = holder.insurer and claim_numbers.claim_number = holder.claim_number
    and holder.claim_number <> holder.key
""")


def downgrade() -> None:
    """Go back: the events tell how each number was written."""
    op.execute("delete from claim_numbers")
    op.execute("""
        insert into claim_numbers (insurer, claim_number, claim_id)
        select event::json ->> 'insurer', event::json ->> 'claim_number', claim_id from claim_events
        where type in ('claimbus.temporary-claim-created.v1', 'claimbus.claim-registered.v1',
                       'claimbus.claim-converted.v1')
        on conflict do nothing
    """)
