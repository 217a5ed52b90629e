"""One process and its life: settings, ids, supervision, telemetry, tracing and TLS."""
