//! The server and client chains: TLS, trace, metrics, limits, identity.
