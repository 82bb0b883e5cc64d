"""Views for people and machines; none holds a truth of its own."""
