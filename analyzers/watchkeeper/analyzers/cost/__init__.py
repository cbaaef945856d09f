"""What requests and successes cost."""
