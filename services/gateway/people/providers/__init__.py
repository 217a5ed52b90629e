"""Sign-in with GitHub, Hugging Face and OpenID Connect providers.

`door` is what the routes call: it sends a browser away and takes it back. `logins` remembers who
was sent, `github` and `openid` ask who has come, `admission` decides whether somebody new comes in,
`kept` looks after the tokens that GitHub and Hugging Face gave.
"""
