"""The clients' socket: JSON-RPC methods made from the registry. It parses, calls, replies, and holds no rule."""
