"""How fast Claimbus is, beside peers that do the same job: `make benchmark`, or `python -m benchmarks --help`."""
