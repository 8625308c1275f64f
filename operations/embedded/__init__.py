"""A real Kafka and a real PostgreSQL as child processes: no containers, no system Java, nothing installed.

For trying, testing and a single machine; root or not. What is fetched once is kept in the user's cache folder.
"""

from operations.embedded.kafka import EmbeddedKafka
from operations.embedded.postgres import EmbeddedPostgres
from operations.embedded.processes import ChildProcess, NotStarted, Waiting, free_port

__all__ = [
    "ChildProcess",
    "EmbeddedKafka",
    "EmbeddedPostgres",
    "NotStarted",
    "Waiting",
    "free_port",
]
