//! What can be asked of `mp169 party`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mesh_api::authorization::v1::Role;
use mesh_types::{Eui64, PartyId};

use super::connection::Connection;
use super::p12::P12Args;
use super::question::{Listing, Question};
use super::value::{eui64, named};

/// What a party can be.
const ROLES: &[&str] = &[
    "import-supplier",
    "export-supplier",
    "gas-supplier",
    "registered-supplier-agent",
    "electricity-distributor",
    "gas-transporter",
    "other-user",
    "csp",
    "gateway",
];

/// `party`
#[derive(Debug, Subcommand)]
pub enum PartyCommand {
    /// Records a new party: a supplier, another SEC Party, a CSP or a gateway.
    #[command(after_help = "Examples:\n  \
        mp169 party add DRAGON --name 'Dragon Power' --role import-supplier --role gas-supplier\n  \
        mp169 party add EAGLE --name 'Eagle Energy' --role import-supplier --entity 02-DC-CE-00-00-00-00-02\n  \
        mp169 party add CSP-CENTRAL --name 'Central Cellular' --role csp --csp central")]
    Add(AddArgs),
    /// Issues a party's certificate, from the authority in the mesh's folder.
    ///
    /// With --out it fills a folder with all that a client needs: its certificate and key, whom to
    /// trust, and where the services listen. Each command takes that folder as its --home. Without,
    /// the certificate is kept in the mesh's own folder, for --as.
    #[command(after_help = "Examples:\n  \
        mp169 party certificate DRAGON\n  \
        mp169 party certificate EAGLE --out eagle\n  \
        mp169 party get EAGLE --home eagle\n  \
        mp169 party certificate CSP-CENTRAL --out csp-central --days 30")]
    Certificate(CertificateArgs),
    /// Shows a party.
    #[command(after_help = "Examples:\n  \
        mp169 party get DRAGON\n  \
        mp169 party get DRAGON --as-of 1")]
    Get(GetArgs),
    /// Lists all parties.
    #[command(after_help = "Example:\n  mp169 party list")]
    List(ListArgs),
    /// Suspends a party: it is refused everywhere within a second, and its flags stay.
    #[command(after_help = "Example:\n  mp169 party suspend EAGLE --reason 'licence under review'")]
    Suspend(StatusArgs),
    /// Reinstates a suspended party.
    #[command(after_help = "Example:\n  mp169 party resume EAGLE --reason 'licence confirmed'")]
    Resume(StatusArgs),
    /// Closes a party for good.
    #[command(after_help = "Example:\n  \
        mp169 party add FALCON --name 'Falcon Gas' --role gas-supplier\n  \
        mp169 party close FALCON --reason 'left the market'")]
    Close(StatusArgs),
}

/// `party add`
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Its short name: 1 to 32 of A-Z, 0-9 and '-'.
    pub party: PartyId,
    /// The organisation's name. Never a person's.
    #[arg(long)]
    pub name: String,
    /// What it is; give it once for each.
    #[arg(long = "role", value_name = "ROLE", required = true, value_parser = named(ROLES, "ROLE_", Role::from_str_name))]
    pub roles: Vec<Role>,
    /// The EUI-64 that its certificate carries; drawn from the range for local use if not given.
    #[arg(long, value_name = "EUI-64", value_parser = eui64)]
    pub entity: Option<Eui64>,
    /// Which CSP it is, such as north: with the role csp only.
    #[arg(
        long,
        value_name = "CSP",
        default_value = "",
        hide_default_value = true
    )]
    pub csp: String,
    /// A party that it may act on behalf of: with the role gateway only; give it once for each.
    #[arg(long, value_name = "PARTY")]
    pub acts_for: Vec<PartyId>,
    /// Where to ask; usually as the operator.
    #[command(flatten)]
    pub connection: Connection,
}

/// `party certificate`
#[derive(Debug, Args)]
pub struct CertificateArgs {
    /// The party, as `party add` recorded it.
    pub party: PartyId,
    /// The folder to fill for a client; made if missing.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// The host by which the client reaches the services, if not the one that they listen on.
    #[arg(long, requires = "out")]
    pub host: Option<String>,
    /// Which of the party's EUI-64s it carries; need not be said if there is one only.
    #[arg(long, value_name = "EUI-64", value_parser = eui64)]
    pub entity: Option<Eui64>,
    /// For how many days it holds.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
    /// For a browser.
    #[command(flatten)]
    pub p12: P12Args,
    /// Where to ask; usually as the operator.
    #[command(flatten)]
    pub connection: Connection,
}

/// `party get`
#[derive(Debug, Args)]
pub struct GetArgs {
    /// The party.
    pub party: PartyId,
    /// As of when, and where to ask; usually as the operator.
    #[command(flatten)]
    pub question: Question,
}

/// `party list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// How much of it, as of when, and where to ask; usually as the operator.
    #[command(flatten)]
    pub listing: Listing,
}

/// `party suspend`, `resume` and `close`
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The party.
    pub party: PartyId,
    /// Why: recorded with the change. No personal data.
    #[arg(long)]
    pub reason: String,
    /// Where to ask; usually as the operator.
    #[command(flatten)]
    pub connection: Connection,
}
