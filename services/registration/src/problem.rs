//! What is wrong with one field of a record?

/// A field that cannot be right by itself, whatever else is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Problem {
    /// The field's path in the contract's message, such as `csp_id`.
    pub field: &'static str,
    /// What is wrong, for people.
    pub text: &'static str,
}
