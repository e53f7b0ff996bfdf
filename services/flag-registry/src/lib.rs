//! The flag of each Device, the choice behind it, and the log of every change.
