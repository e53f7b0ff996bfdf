//! What tests share: certificates, waiting for a condition, golden files.
