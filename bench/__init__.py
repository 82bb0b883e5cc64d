"""What Perdure costs beside a bare Temporal workflow that does the same, measured in one run on one machine."""
