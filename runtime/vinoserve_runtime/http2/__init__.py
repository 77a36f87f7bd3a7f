"""HTTP/2 for servers (RFC 9113, over TCP without TLS, with prior knowledge), bounded against hostile clients.

`frames`, `blocks`, `requests`, `settings`, `stream` and `connection` do no I/O: bytes in, bytes out. `endpoint` and
`server` put them on an event loop. What requests mean is the application's business.
"""
