"""Claims whose texts came decomposed, as some keyboards write `Å`, are shown and found as if they had not."""

import re

import sqlalchemy as sa
from alembic import op

from shared.contract.texts import composed, folded

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_SHOWN = ("claim_number", "policyholder", "place")


def upgrade() -> None:
    """Go forward; their texts were taken apart at the marks, and are found by their words from now on too."""
    connection = op.get_bind()
    for row in connection.execute(_DECOMPOSED).mappings().all():
        texts = {name: composed(row[name]) for name in _SHOWN}
        words = {word for text in texts.values() for word in re.findall(r"\w+", folded(text))}
        found_by = sorted(f"{row['company']}/{word}" for word in words)
        connection.execute(_COMPOSED, {**row, **texts, "words": found_by})
    op.execute("""
        update open_tasks set claim_number = normalize(claim_number) where claim_number is not nfc normalized
    """)


_DECOMPOSED = sa.text("""
    select company, claim_id, claim_number, policyholder, place from listing
    where claim_number is not nfc normalized or policyholder is not nfc normalized or place is not nfc normalized
""")

_COMPOSED = sa.text("""
    update listing set claim_number = :claim_number, policyholder = :policyholder, place = :place,
        words = words || array_to_tsvector(cast(:words as text[]))
    where company = :company and claim_id = :claim_id
""")


def downgrade() -> None:
    """Go back; one form of a text is as good as the other."""
