"""GitHub's REST API in the name of one user at a time: what is asked, and what its answers mean.

`names` and `answers` are pure; `site` makes the requests; `service` is what others call.
"""
