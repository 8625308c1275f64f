"""Every metric, with a sentence of what it tells. Labels carry names of topics and codes, never of people."""

from prometheus_client import Counter, Gauge, Histogram

MESSAGES_READ = Counter(
    "claimbus_messages_read", "Messages read, by topic; a batch that is repeated counts again.", ["topic"]
)
MESSAGES_PUBLISHED = Counter(
    "claimbus_messages_published", "Messages that the brokers acknowledged, by topic.", ["topic"]
)
DEAD_LETTERS = Counter(
    "claimbus_dead_letters", "Messages put aside, by the topic that they were on and why.", ["topic", "reason"]
)
DELETED_UNREAD = Counter(
    "claimbus_deleted_unread", "Messages that the brokers deleted before they were read, by topic.", ["topic"]
)
DATABASE_BEHIND = Counter(
    "claimbus_database_behind", "Messages whose outcome the service's database has lost, and that are read again."
)
RETRIES = Counter(
    "claimbus_retries", "Batches begun again because Kafka, the database or another writer was in the way.", ["reason"]
)
PRODUCERS_RENEWED = Counter("claimbus_producers_renewed", "Producers thrown away after a failed publish.")
BATCH_SECONDS = Histogram(
    "claimbus_batch_seconds",
    "Time from a batch's arrival to its commit.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)
STAGE_SECONDS = Histogram(
    "claimbus_stage_seconds",
    "Time that a stage of a batch takes: decide, with its transaction, or publish, until all is acknowledged.",
    ["stage"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60),
)
BATCH_MESSAGES = Histogram("claimbus_batch_messages", "Messages in a batch.", buckets=(1, 5, 10, 20, 50, 100, 200, 500))
LAG_MESSAGES = Gauge(
    "claimbus_lag_messages", "Messages that are not finished, by topic and partition.", ["topic", "partition"]
)
LAG_SECONDS = Gauge(
    "claimbus_lag_seconds", "Age of the oldest message that is not finished, by append time.", ["topic", "partition"]
)
CONSUMERS_RENEWED = Counter("claimbus_consumers_renewed", "Consumers thrown away because they did not get on.")
NOT_READY = Gauge("claimbus_not_ready", "1 while the instance is not ready, by reason.", ["reason"])
RETRYING = Gauge("claimbus_retrying", "Batches, or messages in flight, that are being tried again.")
IN_HAND = Gauge("claimbus_in_hand", "Batches, or messages in flight, that are being worked on.")
FILES_COPIED = Counter("claimbus_files_copied", "Files copied and verified for links, or found to be so already.")
COPIED_SECONDS = Histogram(
    "claimbus_link_copied_seconds",
    "Time from the append of a part of a link until its files were copied, or it was given up.",
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14400),
)
LINKS_UNDER_WAY = Gauge(
    "claimbus_links_under_way", "Parts of links whose files are being copied, by how old they are.", ["age"]
)
MEDIA_BYTES = Counter(
    "claimbus_media_bytes", "Bytes of files that were verified, as they were uploaded or copied for links.", ["done"]
)
LINKS_GIVEN_UP = Counter("claimbus_links_given_up", "Links that could not be made, by reason.", ["reason"])
REPORTS_DUE = Gauge("claimbus_reports_due", "Reports of periods that are over, which are not made yet.")
OUTCOMES = Counter("claimbus_outcomes", "Requests answered for the first time, by code or accepted.", ["code"])
REFUSALS = Counter(
    "claimbus_refusals", "Requests refused for the first time, by the company that asked and code.", ["company", "code"]
)
DECISIONS = Counter(
    "claimbus_decisions",
    "Requests for temporary claims that were decided for the first time, by insurer and the rule that decided.",
    ["insurer", "rule"],
)
EVENTS = Counter("claimbus_claim_events", "What happened to claims, by the event's name.", ["event"])
OUTCOME_SECONDS = Histogram(
    "claimbus_outcome_seconds",
    "Time from a request's append until its outcome, new, was in the record and was about to be published.",
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600),
)
TEMPORARY_CLAIMS = Gauge(
    "claimbus_temporary_claims", "Temporary claims that wait, by insurer and how old they are.", ["insurer", "age"]
)
