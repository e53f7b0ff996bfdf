//! End-to-end journeys over real sockets and mTLS.
