"""State that agents share: documents whose fields declare how they are merged, and a record of every side that lost."""
