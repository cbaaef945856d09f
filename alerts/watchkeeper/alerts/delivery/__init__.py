"""The outbox is emptied: leases, retries, fallbacks."""
