"""The web console: plain ES modules in `web/`, served as they lie there, without a build step."""
