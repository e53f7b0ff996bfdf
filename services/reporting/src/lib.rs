//! Outcomes in, performance and obligation reports out.
