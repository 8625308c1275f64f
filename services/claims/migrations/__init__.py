"""How the database of claims came to be what it is, in Alembic's steps."""

VERSION = "0005"
"""The last step, which the service needs its database to have."""
