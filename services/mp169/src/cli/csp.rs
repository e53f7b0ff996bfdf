//! What can be asked of `mp169 csp`.

use std::fmt;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use mesh_types::chain::Hash;
use mesh_types::{CspId, Epoch, Sequence};

use super::connection::{Connection, Limit};

/// `csp`
#[derive(Debug, Subcommand)]
pub enum CspCommand {
    /// Shows the flag changes that concern the CSP's hubs as they come, until Ctrl-C.
    ///
    /// It begins after what was acknowledged, and ends by saying where to go on. A CSP has one stream:
    /// a program that is attached is cut off, and takes the stream back when it attaches again.
    ///
    /// What it says at its end names the event with its history and its hash: given back with --after,
    /// it lets the service notice that the log has gone back behind it.
    #[command(after_help = "Examples:\n  \
        mp169 csp watch --home csp-central --once\n  \
        mp169 csp watch --home csp-central --from snapshot --once --output json\n  \
        mp169 csp watch --home csp-central --after 0 --once --acknowledge")]
    Watch(WatchArgs),
    /// Acknowledges every change up to one.
    #[command(after_help = "Example:\n  mp169 csp ack 1 --home csp-central")]
    Ack(AckArgs),
    /// Says how far a CSP is; an internal role sees all of them.
    ///
    /// It ends with exit code 7 if a log that is shown lacks what its CSP has seen: nothing is sent to that CSP
    /// then.
    #[command(after_help = "Examples:\n  \
        mp169 csp lag --home csp-central\n  \
        mp169 csp lag")]
    Lag(LagArgs),
}

/// `csp watch`
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Where to begin.
    #[arg(long, value_enum, default_value_t = From::Acknowledged)]
    pub from: From,
    /// Begin after this event of the CSP's log, given by its number or as the command said at its end;
    /// 0 shows all of them.
    #[arg(long, value_name = "EVENT", conflicts_with = "from")]
    pub after: Option<Place>,
    /// End when everything up to the present was shown.
    #[arg(long)]
    pub once: bool,
    /// Acknowledge what was shown.
    #[arg(long)]
    pub acknowledge: bool,
    /// The CSP, such as north; the one that the certificate's party is if not said.
    #[arg(long)]
    pub csp: Option<CspId>,
    /// Where to ask, as a CSP.
    #[command(flatten)]
    pub connection: Connection,
}

/// An event of the CSP's log: `7`, or `7@EPOCH:HASH` of one that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The event's number.
    pub sequence: Sequence,
    /// The history in which it was seen, and the log's hash after it.
    pub seen: Option<(Epoch, Hash)>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.seen {
            None => write!(f, "{}", self.sequence),
            Some((epoch, hash)) => {
                let (epoch, hash) = (epoch.get(), hex::encode(hash));
                write!(f, "{}@{epoch}:{hash}", self.sequence)
            }
        }
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WRONG: &str = "an event is its number, or as `csp watch` said at its end";
        let (sequence, seen) = match text.split_once('@') {
            None => (text, None),
            Some((sequence, seen)) => {
                let (epoch, digits) = seen.split_once(':').ok_or(WRONG)?;
                let epoch = epoch.parse().ok().and_then(Epoch::new).ok_or(WRONG)?;
                let mut hash = Hash::default();
                hex::decode_to_slice(digits, &mut hash).map_err(|_| WRONG)?;
                (sequence, Some((epoch, hash)))
            }
        };
        let sequence = sequence.parse().map_err(|_| WRONG)?;
        Ok(Self { sequence, seen })
    }
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum From {
    /// After what was acknowledged.
    Acknowledged,
    /// With the Devices that are reduced now, then what follows.
    Snapshot,
}

/// `csp ack`
#[derive(Debug, Args)]
pub struct AckArgs {
    /// The last event of the CSP's log that was applied.
    pub sequence: u64,
    /// The CSP, such as north; the one that the certificate's party is if not said.
    #[arg(long)]
    pub csp: Option<CspId>,
    /// Where to ask, as a CSP.
    #[command(flatten)]
    pub connection: Connection,
}

/// `csp lag`
#[derive(Debug, Args)]
pub struct LagArgs {
    /// The CSP, such as north; the one that the certificate's party is if not said, and all for an
    /// internal role.
    #[arg(long)]
    pub csp: Option<CspId>,
    /// How many.
    #[command(flatten)]
    pub limit: Limit,
    /// Where to ask; usually as the operator.
    #[command(flatten)]
    pub connection: Connection,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_read_as_it_is_shown() {
        let hash = "ab".repeat(32);
        for text in ["0", "7", &format!("7@123:{hash}")] {
            assert_eq!(text.parse::<Place>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "x",
            "-1",
            "7@",
            "7@123",
            "7@123:ab",
            &format!("7@0:{hash}"),
            &format!("7@123:{hash}00"),
            &format!("@123:{hash}"),
        ] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
