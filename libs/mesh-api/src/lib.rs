//! The generated contracts, their descriptor set, and the way between wire and domain types.
