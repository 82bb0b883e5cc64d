"""Deterministic code: order, parallelism, waiting and undo. It imports contracts and the SDK only."""
