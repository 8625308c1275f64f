"""stored: whether a storm takes longer where millions of claims are stored already.

Each number of claims has a database of its own on the same server, so that they are measured by turns.
"""

import asyncio
import json
from collections.abc import Iterator

import asyncpg

from benchmarks.contestants import OUTCOME_ROAD, Claimbus, empty_tables, stop_services
from benchmarks.figures import Row
from benchmarks.installation import INSURER, OFFICE, PARTNER, installation
from benchmarks.measures.storm import storm
from benchmarks.options import Options
from benchmarks.peers.sample import Sample, take
from operations.options import err

MEASURE = "stored"

_FILL = (
    """
    insert into requests
    select s.company, 'stored:' || n, id, s.requested_at, s.outcome_type, replace(s.outcome, $2, id::text)
    from jsonb_populate_recordset(null::requests, $1) s, numbered
    """,
    """
    insert into claims select numbered.id, s.insurer, s.state, s.version, replace(s.claim, $2, numbered.id::text)
    from jsonb_populate_recordset(null::claims, $1) s, numbered order by 1
    """,
    """
    insert into claim_events
    select id, s.version, s.company, 'stored:' || n, s.type, replace(s.event, $2, id::text), 'stored:' || n
    from jsonb_populate_recordset(null::claim_events, $1) s, numbered order by 1
    """,
    """
    insert into claim_numbers select s.insurer, s.claim_number || n, id
    from jsonb_populate_recordset(null::claim_numbers, $1) s, numbered
    """,
)
_NUMBERED = "create table numbered as select n, md5('stored' || n)::uuid as id from generate_series(1, {claims}) n"


def measure_stored(options: Options) -> Iterator[Row]:
    """The outcome road with each number of stored claims."""
    with installation() as stack:
        sample = take(stack.connection, PARTNER, OFFICE, INSURER)
        stop_services(stack)
        contestants = []
        for claims in options.stored:
            err.print(f"stored: making {claims:,} claims")
            name = f"claims_{claims}"
            stack.postgres.create_database(name, owner=name, password=stack.passwords["claims"])
            url = stack.postgres.url(name, name, stack.passwords["claims"])
            asyncio.run(fill(url, sample, claims))
            contestants.append(Claimbus(stack, case_of(claims), OUTCOME_ROAD, database=url))
        for row in storm(stack, contestants, options):
            yield row.model_copy(update={"measure": MEASURE})


def case_of(claims: int) -> str:
    """What a number of stored claims is called."""
    return f"{claims:,} stored"


async def fill(url: str, sample: Sample, claims: int) -> None:
    """Store claims that are like one, under ids of their own and in no order."""
    await empty_tables(url)
    if not claims:
        return
    connection = await asyncpg.connect(url)
    await connection.execute("set synchronous_commit = off")
    await connection.execute(_NUMBERED.format(claims=claims))
    id = str(sample.rows["claims"][0]["id"])
    for statement in _FILL:
        rows = json.dumps(sample.rows[statement.split()[2]])
        await connection.execute(statement, *(word for word in (rows, id)[: statement.count("$")]))
    await connection.execute("drop table numbered")
    await connection.execute("vacuum analyze")
    await connection.close()
