"""Everything on one machine: nats-server and the five services as supervised children."""
