"""Claim numbers are recorded as they are compared too: without case and spaces, in one Unicode form.

Of several claims of an insurer whose numbers are now the same, one is found by every spelling, the others by their own.
"""

import sqlalchemy as sa
from alembic import op

from shared.domain.claim_numbers import number_key

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_AT_ONCE = 10_000


def upgrade() -> None:
    """Go forward; in parts, since an insurer can have millions. Instances that are older find what they have found."""
    connection = op.get_bind()
    last = {"insurer": "", "number": ""}
    while rows := connection.execute(_NEXT, last | {"most": _AT_ONCE}).all():
        insurers, numbers, ids = ([row[n] for row in rows] for n in range(3))
        keys = [number_key(number) for number in numbers]
        connection.execute(_RECORD, {"insurers": insurers, "keys": keys, "ids": ids})
        last = {"insurer": insurers[-1], "number": numbers[-1]}


_NEXT = sa.text("""
    select insurer, claim_number, claim_id from claim_numbers where (insurer, claim_number) > (:insurer, :number)
    order by insurer, claim_number limit :most
""")

_RECORD = sa.text("""
    insert into claim_numbers (insurer, claim_number, claim_id)
    select * from unnest(cast(:insurers as text[]), cast(:keys as text[]), cast(:ids as uuid[]))
    on conflict do nothing
""")


def downgrade() -> None:
    """Go back; numbers that nobody has written are found as well, which does no harm."""
