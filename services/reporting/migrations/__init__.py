"""How the database of reporting came to be what it is, in Alembic's steps."""

VERSION = "0003"
"""The last step, which the service needs its database to have."""
