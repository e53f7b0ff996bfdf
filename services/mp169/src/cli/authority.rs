//! What can be asked of `mp169 authority`.

use clap::{Args, Subcommand};
use mesh_types::DeviceId;

use super::question::Question;
use super::value::{device, time};

/// `authority`
#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Says who is the Responsible Supplier of a Device, and on what that rests.
    #[command(after_help = "Examples:\n  \
        mp169 authority get 02-DC-C1-00-00-00-01-E0\n  \
        mp169 authority get 02-DC-C1-00-00-00-01-E0 --valid-at 2025-06-30\n  \
        mp169 authority get 02-DC-C1-00-00-00-02-E0 --as-of 8")]
    Get(GetArgs),
}

/// `authority get`
#[derive(Debug, Args)]
pub struct GetArgs {
    /// The Device, an EUI-64 such as 02-DC-C1-00-00-00-01-E0.
    #[arg(value_parser = device)]
    pub device: DeviceId,
    /// The instant at which it is asked who was responsible; now if not given, and with
    /// --as-of then.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub valid_at: Option<prost_types::Timestamp>,
    /// As of when, and where to ask; usually as the operator.
    #[command(flatten)]
    pub question: Question,
}
