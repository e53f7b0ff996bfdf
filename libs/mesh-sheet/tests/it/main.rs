//! Do all forms of a report show the same figures, and does no text get out of its place?

mod golden;
mod page;
mod properties;
mod sample;
