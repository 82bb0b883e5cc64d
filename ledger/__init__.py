"""What was done, decided, approved and spent: the only place that writes these tables."""
