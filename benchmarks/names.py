"""What cases are called that several measures share."""

ROAD = "outcome road alone"
"""Only the services that a partner's outcome passes through."""
ALL_SEVEN = "all seven services"
