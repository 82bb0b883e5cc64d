"""The web console and its API: views of the ledger, and no truth of their own."""
