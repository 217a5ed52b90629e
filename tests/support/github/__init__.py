"""A stand-in of GitHub's REST API on loopback, after its documentation: repositories with real
git objects, tags of answers, pages, rate limits, errors as GitHub words them."""
