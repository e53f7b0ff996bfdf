//! Where is a certificate written for a browser?

use std::path::PathBuf;

use clap::Args;

/// A file for a browser.
#[derive(Debug, Args)]
pub struct P12Args {
    /// Also write certificate and key to this file, which browsers import (PKCS #12). It must not be there
    /// yet, and only its owner may read it.
    #[arg(long, value_name = "FILE")]
    pub p12: Option<PathBuf>,
    /// The first line of this file is the password of the other, which is asked for otherwise.
    #[arg(long, value_name = "FILE", requires = "p12")]
    pub p12_password_file: Option<PathBuf>,
}
