"""Who is told of which incidents, together with what, and when not."""
