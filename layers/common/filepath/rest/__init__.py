"""The REST door: routes made from the registry. It parses, calls, replies, and holds no rule."""
