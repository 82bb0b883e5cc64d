"""OpenAPI 3 documents: what their operations take and answer, and how a call of one looks on the wire."""
