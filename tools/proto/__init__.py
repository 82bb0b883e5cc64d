"""The gRPC contract of tool executors; `tool_executor.proto` is the source, `make proto` writes the rest."""
