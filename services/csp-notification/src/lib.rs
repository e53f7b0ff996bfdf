//! Each CSP's own ordered, durable stream of flag changes.
