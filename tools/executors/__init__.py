"""Who runs tools: Python functions, HTTP services, gRPC servers and MCP servers, all behind one protocol."""
