"""Bytes as they stand on the wire: canonical requests, strict streams, signed fields.  Pure: no
I/O."""
