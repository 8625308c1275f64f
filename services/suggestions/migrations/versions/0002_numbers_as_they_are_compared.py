"""Claims are found by their number as numbers are compared: without case and spaces, in one Unicode form."""

import sqlalchemy as sa
from alembic import op

from shared.domain.claim_numbers import number_key

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_AT_ONCE = 10_000


def upgrade() -> None:
    """Go forward, with the claims that are there; an instance that is older leaves the column empty."""
    op.add_column("claims", sa.Column("number_key", sa.Text))
    connection = op.get_bind()
    last = None
    while rows := connection.execute(_NEXT, {"last": last, "most": _AT_ONCE}).all():
        ids, numbers = ([row[n] for row in rows] for n in (0, 1))
        connection.execute(_SET, {"ids": ids, "keys": [number_key(number) for number in numbers]})
        last = ids[-1]
    op.create_index("claims_by_number_key", "claims", ["number_key"])


_NEXT = sa.text("""
    select id, claim_number from claims where cast(:last as uuid) is null or id > :last order by id limit :most
""")

_SET = sa.text("""
    update claims set number_key = of.key
    from unnest(cast(:ids as uuid[]), cast(:keys as text[])) as of (id, key) where claims.id = of.id
""")


def downgrade() -> None:
    """Go back."""
    op.drop_column("claims", "number_key")
