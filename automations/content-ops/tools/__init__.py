"""Tools of content-ops: read notes, write briefs and drafts, keep the calendar, publish each piece, and take it back."""
