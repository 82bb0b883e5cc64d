"""The one-machine stack: its real parts, and stand-ins for the servers that tests and demos must not reach."""
