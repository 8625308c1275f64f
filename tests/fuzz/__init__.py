"""Mutated messages for everything that decodes one: `make fuzz MESSAGES=1000000`."""
