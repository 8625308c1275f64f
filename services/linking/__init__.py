"""The linking service."""
