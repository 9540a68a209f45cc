"""The upstreams: Kimi's protocols as pure builders and decoders, and the one place that touches sockets."""
