"""What Claimbus is compared with: three processes each, that do its outcome road's job, or just move the same bytes."""
