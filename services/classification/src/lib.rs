//! Decides for each message whether it is delivered or suppressed.
