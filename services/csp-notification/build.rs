//! Makes cargo notice a migration that is added.

fn main() {
    println!("cargo::rerun-if-changed=migrations");
}
