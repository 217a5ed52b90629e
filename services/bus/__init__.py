"""The connection to NATS: requests, services, health and metrics over it."""
