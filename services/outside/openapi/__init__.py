"""OpenAPI documents: read, made into tools, and calls of those into HTTP requests. Pure."""
