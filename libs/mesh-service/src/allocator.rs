//! Where does memory come from?
//!
//! From mimalloc, in every process that links a service. Messages are made of many small texts, which
//! one thread reads and another lets go: what glibc is slow at.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
