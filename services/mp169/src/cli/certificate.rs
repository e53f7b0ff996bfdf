//! What can be asked of `mp169 certificate`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use mesh_authz::InternalRole;
use mesh_rpc::{DenialReason, IssuerName, SerialNumber};

use super::connection::Output;
use super::p12::P12Args;

const REVOKE: &str = "Within 10 seconds every process that reads the list refuses what it denies: new connections are \
    refused, and open ones end with their calls and streams. The list is denied.toml in the folder of \
    `mp169 up`, or the file that --list names: name the one that the services were started with \
    (MP169_TLS_DENY_LIST). Machines that read another file need the same entries there. The command asks no \
    service and needs no certificate, so it works whatever was stolen.\n\n\
    It revokes certificates, not their holder: a new certificate works. --identity denies every certificate of \
    a holder, also later ones, until `mp169 certificate restore --identity`.\n\n\
    Examples:\n  \
    mp169 certificate revoke EAGLE --reason 'laptop stolen'\n  \
    mp169 certificate revoke --serial 4A:5F:00:1B --reason 'key was published'\n  \
    mp169 certificate revoke --serial 4A5F001C --issuer 'CN=Another authority' --output json\n  \
    mp169 certificate revoke --file mp169-data/certificates/analyst.crt.pem\n  \
    mp169 certificate revoke --identity 02-DC-CE-00-00-00-00-02 --reason 'left the market'\n  \
    mp169 certificate revoke --identity dsp --yes";

const AUTHORITY: &str = "While the mesh runs, and without a failed call: each step waits until the services have taken the \
    last one, which takes 5 seconds at most. Whatever runs elsewhere needs the new file of trusted authorities, \
    authority/ca.crt.pem, before the second step and after the third: docs/operations.md has the whole procedure.\n\n\
    Examples:\n  \
    mp169 certificate authority add\n  \
    cp mp169-data/authority/ca.crt.pem csp-central/authority/\n  \
    mp169 certificate authority use\n  \
    mp169 certificate renew\n  \
    mp169 certificate authority drop --dry-run";

/// `certificate`
#[derive(Debug, Subcommand)]
pub enum CertificateCommand {
    /// Revokes single certificates, or all of a holder, while the mesh runs.
    #[command(after_help = REVOKE)]
    Revoke(RevokeArgs),
    /// Accepts again what was denied: takes it off the list.
    #[command(after_help = "Examples:\n  \
        mp169 certificate restore EAGLE\n  \
        mp169 certificate restore --serial 4A5F001B\n  \
        mp169 certificate restore --identity dsp")]
    Restore(RestoreArgs),
    /// Lists what is denied, since when and why.
    #[command(after_help = "Examples:\n  \
        mp169 certificate list\n  \
        mp169 certificate list --output json")]
    List(ListArgs),
    /// Issues a certificate to an internal role, by the authority in the mesh's folder.
    ///
    /// It replaces the one that the folder holds; a service shows its new one within a second. With
    /// --out it fills a client's folder. For a party: `mp169 party certificate`.
    #[command(after_help = "Examples:\n  \
        mp169 certificate issue analyst\n  \
        mp169 certificate issue auditor --out clients/auditor --days 30\n  \
        (umask 77; head -c 15 /dev/urandom | base64 > analyst.password)\n  \
        mp169 certificate issue analyst --p12 analyst.p12 --p12-password-file analyst.password")]
    Issue(IssueArgs),
    /// Issues the certificates of internal roles anew, by the authority in the mesh's folder.
    ///
    /// Of all roles that the folder holds a certificate of, or of those that are named. Services show their
    /// new ones within a second, and no call fails.
    #[command(after_help = "Examples:\n  \
        mp169 certificate renew\n  \
        mp169 certificate renew registration flag-registry --days 30")]
    Renew(RenewArgs),
    /// Replaces the mesh's authority in three steps, while the mesh runs.
    #[command(subcommand, after_help = AUTHORITY)]
    Authority(AuthorityCommand),
}

/// `certificate authority`
#[derive(Debug, Subcommand)]
pub enum AuthorityCommand {
    /// Makes a new authority, which is trusted from now on beside the present one.
    Add(AuthorityArgs),
    /// Has the new authority issue from now on; the old one's key is deleted.
    Use(AuthorityArgs),
    /// Trusts the old authority no more: whoever still shows a certificate of it is refused.
    Drop(DropArgs),
}

/// `certificate authority add` and `use`
#[derive(Debug, Args)]
pub struct AuthorityArgs {
    /// Folder of the mesh that `mp169 up` runs.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
}

/// `certificate authority drop`
#[derive(Debug, Args)]
pub struct DropArgs {
    /// Go ahead even if some show no certificate of the new authority yet.
    #[arg(long, conflicts_with = "dry_run")]
    pub yes: bool,
    /// Say who would be refused, and change nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Which mesh.
    #[command(flatten)]
    pub of: AuthorityArgs,
}

/// `certificate renew`
#[derive(Debug, Args)]
pub struct RenewArgs {
    /// The roles, such as operator or dsp, or services of the mesh; all that the folder holds if none is
    /// named.
    #[arg(value_parser = role, value_name = "ROLE")]
    pub roles: Vec<InternalRole>,
    /// For how many days they hold.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
    /// Folder of the mesh that `mp169 up` runs.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Which list, and how to show the answer.
#[derive(Debug, Args)]
pub struct ListFile {
    /// Folder of the mesh that `mp169 up` runs.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// The list, if it is not the one in the folder of the mesh. The file must exist.
    #[arg(long, value_name = "FILE", env = "MP169_TLS_DENY_LIST")]
    pub list: Option<PathBuf>,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// What is meant.
#[derive(Debug, Args)]
pub struct Selected {
    /// One of these.
    #[command(flatten)]
    pub by: By,
    /// The authority that gave the serial number, as `openssl x509 -issuer` prints it; the mesh's
    /// own if not given.
    #[arg(long, value_name = "NAME", requires = "serial")]
    pub issuer: Option<IssuerName>,
}

/// By what it is named.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct By {
    /// All certificates that were issued here to this party or internal role.
    pub name: Option<String>,
    /// The certificate in this file, PEM or DER; the first one if it holds several.
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The certificate with this serial number, as `openssl x509 -serial` prints it.
    #[arg(long, value_name = "HEX")]
    pub serial: Option<SerialNumber>,
    /// Every certificate of a holder, also later ones: an internal role, an EUI-64, or the name of a
    /// party. A name means each EUI-64 for which that party was issued a certificate here; any other
    /// EUI-64 of the party is not known here, and is denied by the EUI-64 itself.
    #[arg(long, value_name = "IDENTITY")]
    pub identity: Option<String>,
}

/// `certificate revoke`
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// What to deny.
    #[command(flatten)]
    pub selected: Selected,
    /// Why; kept in the list. No personal data.
    #[arg(long)]
    pub reason: Option<DenialReason>,
    /// Go ahead even if this denies one of the mesh's own services, every certificate of a role, or
    /// everything an authority issued.
    #[arg(long)]
    pub yes: bool,
    /// Which list.
    #[command(flatten)]
    pub list: ListFile,
}

/// `certificate restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// What to accept again.
    #[command(flatten)]
    pub selected: Selected,
    /// Which list.
    #[command(flatten)]
    pub list: ListFile,
}

/// `certificate list`
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Which list.
    #[command(flatten)]
    pub list: ListFile,
}

/// `certificate issue`
#[derive(Debug, Args)]
pub struct IssueArgs {
    /// The role, such as operator or dsp, or a service of the mesh.
    #[arg(value_parser = role)]
    pub role: InternalRole,
    /// The folder to fill for a client; made if missing.
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// The host by which the client reaches the services, if not the one that they listen on.
    #[arg(long, requires = "out")]
    pub host: Option<String>,
    /// For how many days it holds.
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3_650))]
    pub days: u32,
    /// For a browser.
    #[command(flatten)]
    pub p12: P12Args,
    /// Folder of the mesh that `mp169 up` runs.
    #[arg(long, env = "MP169_HOME", default_value = "mp169-data")]
    pub home: PathBuf,
    /// How to show the answer.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

fn role(text: &str) -> Result<InternalRole, String> {
    InternalRole::from_spiffe_path(text).ok_or_else(|| {
        let roles: Vec<&str> = InternalRole::ALL.iter().map(|role| role.as_str()).collect();
        format!("there are: {}", roles.join(", "))
    })
}
