//! Empty: this crate is its tests, in `it/`.
