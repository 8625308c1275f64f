"""`claimbus demo`: the whole story of the product on a real Kafka and PostgreSQL, each step checked."""
