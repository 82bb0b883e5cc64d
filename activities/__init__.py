"""All that touches the world: each activity composes ledger, memory, policies and tools inside short transactions."""
