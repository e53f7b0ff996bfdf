//! The mesh on one machine and the operator's client.
