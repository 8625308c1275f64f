"""Many rows in one statement: each column is one array, so that a statement costs the same whatever its rows are.

PostgreSQL unnests the arrays in their order, so rows are written, and locked, in the order in which they are given.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import ARRAY, Column, Delete, Select, Table, Text, bindparam, column, delete, func, select
from sqlalchemy.dialects.postgresql import Insert, insert

Pair = tuple[str, str]


def insert_of(table: Table, *, without: Collection[str] = (), qualified: bool = False) -> Insert:
    """Make the statement that inserts rows into a table, without some columns; executed with `columns_of(rows)`.

    Qualified, it can be one of several (`in_one_statement`).
    """
    columns = [each for each in table.c if each.name not in without]
    prefix = f"{table.name}_" if qualified else ""
    arrays = (bindparam(prefix + each.name, type_=ARRAY(each.type)) for each in columns)
    rows = func.unnest(*arrays).table_valued(*(column(each.name, each.type) for each in columns))
    rows = rows.render_derived(name="rows")
    return insert(table).from_select([each.name for each in columns], select(*rows.c))


def replacement_of(table: Table, *, qualified: bool = False) -> Insert:
    """Make the statement that inserts rows, or replaces those of the same primary key."""
    statement = insert_of(table, qualified=qualified)
    keys = [each.name for each in table.primary_key]
    others = {each.name: statement.excluded[each.name] for each in table.c if each.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


def in_one_statement(*inserts: Insert, result: Select[Any]) -> Select[Any]:
    """Make one statement, and one round trip, of several qualified ones; executed with `columns_of_tables(rows)`.

    It returns what another one finds, as it was before.

    They are written in their order: PostgreSQL begins with the last one that nothing refers to.
    """
    return result.add_cte(*(each.cte(f"{each.table.name}_written") for each in reversed(inserts)))


def deletion_of(table: Table) -> Delete:
    """Make the statement that deletes the rows of given primary keys; executed with `columns_of(rows)`."""
    keys = list(table.primary_key)
    arrays = (bindparam(each.name, type_=ARRAY(each.type)) for each in keys)
    given = func.unnest(*arrays).table_valued(*(column(each.name, each.type) for each in keys))
    given = given.render_derived(name="given")
    return delete(table).where(*(each == given.c[each.name] for each in keys))


def columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Turn rows, one at least and all with the same columns, into one list for each column."""
    return {name: [row[name] for row in rows] for name in rows[0]}


def columns_of_tables(rows: Mapping[Table, Sequence[Mapping[str, Any]]]) -> dict[str, list[Any]]:
    """Turn the rows of several tables, of some of them none, into one list for each column."""
    return {
        f"{table.name}_{column.name}": [row[column.name] for row in given]
        for table, given in rows.items()
        for column in table.c
    }


def columns_of_objects(objects: Sequence[Any]) -> dict[str, list[Any]]:
    """Turn dataclasses, one at least, whose fields are called as a table's columns into one list for each column."""
    return {each.name: [getattr(one, each.name) for one in objects] for each in fields(objects[0])}


def where_pair_is_given(query: Select[Any], first: Column[str], second: Column[str]) -> Select[Any]:
    """Narrow a query to the rows whose two columns are one of the pairs; it is executed with `pairs(…)`."""
    firsts, seconds = bindparam("firsts", type_=ARRAY(Text)), bindparam("seconds", type_=ARRAY(Text))
    wanted = func.unnest(firsts, seconds).table_valued("first", "second").render_derived(name="wanted")
    return query.join(wanted, (first == wanted.c.first) & (second == wanted.c.second))


def pairs(given: Iterable[Pair]) -> dict[str, list[str]]:
    """Turn pairs into the parameters of a query that is narrowed to them."""
    given = list(given)
    return {"firsts": [first for first, _ in given], "seconds": [second for _, second in given]}
