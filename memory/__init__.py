"""What agents remember. So far: the session, an append-only transcript."""
