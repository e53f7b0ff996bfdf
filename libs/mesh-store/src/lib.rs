//! Storage by URL: migrations, the batching writer, contiguous hash-chained logs, idempotency, cursors, page tokens.
