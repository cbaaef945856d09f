"""One file a protocol: bytes in, events and rejects out."""
