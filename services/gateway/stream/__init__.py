"""Facts to clients, live and from history: the feed, its frames and the websocket."""
