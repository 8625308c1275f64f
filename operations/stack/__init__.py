"""Everything on one machine: a real Kafka, a real PostgreSQL and a process for each service, as child processes."""

from operations.stack.instance import Instance
from operations.stack.kept import NotUp
from operations.stack.stack import Stack, running

__all__ = [
    "Instance",
    "NotUp",
    "Stack",
    "running",
]
