"""Messages that cross the line between workflows and activities, their names and their errors."""
