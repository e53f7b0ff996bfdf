//! `mp169 certificate`: who is let in no more, and the certificates of internal roles.
//!
//! Nothing here asks the mesh: whoever's certificate was stolen may be the one who acts.

mod authority;
mod issue;
mod renew;
mod selected;

use std::path::PathBuf;

use anyhow::Result;
use jiff::Timestamp;
use mesh_authz::{Identity, InternalRole};
use mesh_rpc::Denied;
use mesh_types::{Clock as _, SystemClock};
use serde_json::{Value, json};

use crate::cli::certificate::{
    CertificateCommand, ListArgs, ListFile, RestoreArgs, RevokeArgs, Selected,
};
use crate::cli::connection::Output;
use crate::denied;
use crate::exit::Usage;
use crate::home::Folder;
use crate::issued::Held;
use crate::output::{complain, print_line, print_table};
use crate::service::Service;

use selected::Chosen;

/// Within how many seconds a change of the list takes effect: it is looked at every second.
const EFFECTIVE_WITHIN: u64 = 10;

/// What issues the certificate of a service that runs apart.
const PREPARE: &str = "`mp169 prepare` with the folders as before (in containers `docker compose run --rm certificates`)";

/// Carries out a command.
pub(crate) async fn run(command: CertificateCommand) -> Result<()> {
    match command {
        CertificateCommand::Revoke(args) => revoke(&args),
        CertificateCommand::Restore(args) => restore(&args),
        CertificateCommand::List(args) => list(&args),
        CertificateCommand::Issue(args) => issue::issue(&args),
        CertificateCommand::Renew(args) => renew::renew(&args),
        CertificateCommand::Authority(command) => authority::run(&command).await,
    }
}

fn revoke(args: &RevokeArgs) -> Result<()> {
    let place = Place::of(&args.list)?;
    let chosen = place.chosen(&args.selected)?;
    selected::refuse_trusted(&chosen, place.folder.as_ref())?;
    let harm = chosen.iter().find_map(|chosen| place.harm(chosen));
    if let Some(harm) = harm.filter(|_| !args.yes) {
        return Err(Usage(format!("{harm}; give --yes if that is what you want")).into());
    }
    let all = all(&chosen);
    let now = Timestamp::from_microsecond(SystemClock.now().micros())?;
    let changed = denied::deny(&place.path, &all, args.reason.as_ref(), now)?;
    let words = ["denied", "already denied"];
    place.told(args.list.output, &chosen, &changed, words)?;
    if args.list.output == Output::Json {
        return Ok(());
    }
    place.in_effect()?;
    let mut names: Vec<&str> = chosen
        .iter()
        .filter(|chosen| matches!(chosen.denied, Denied::Certificate(_)))
        .map(|chosen| chosen.name.as_str())
        .filter(|name| !name.is_empty())
        .collect();
    names.dedup();
    names
        .iter()
        .try_for_each(|name| print_line(&place.issues(name)))
}

fn restore(args: &RestoreArgs) -> Result<()> {
    let place = Place::of(&args.list)?;
    let chosen = place.chosen(&args.selected)?;
    let changed = denied::accept(&place.path, &all(&chosen))?;
    let words = ["accepted again", "was not denied"];
    place.told(args.list.output, &chosen, &changed, words)?;
    match args.list.output {
        Output::Json => Ok(()),
        Output::Table => place.in_effect(),
    }
}

fn list(args: &ListArgs) -> Result<()> {
    let place = Place::of(&args.list)?;
    let list = denied::read(&place.path)?;
    let entries = list.entries();
    if args.list.output == Output::Json {
        return entries.iter().try_for_each(|entry| {
            let mut line = place.json(&entry.denied);
            line["reason"] = entry.reason.as_ref().map(|reason| reason.as_str()).into();
            line["time"] = entry.time.clone().into();
            print_line(&line)
        });
    }
    if entries.is_empty() {
        return print_line(&format_args!("{} denies nobody.", place.path.display()));
    }
    let rows = entries.iter().map(|entry| {
        let mut row = place.row(&entry.denied);
        let reason = entry.reason.as_ref().map(ToString::to_string);
        row.push(reason.unwrap_or_default());
        row.push(entry.time.clone().unwrap_or_default());
        row
    });
    print_table(
        &["serial", "issuer", "holder", "reason", "since"],
        rows.collect(),
    )
}

fn all(chosen: &[Chosen]) -> Vec<Denied> {
    chosen.iter().map(|chosen| chosen.denied.clone()).collect()
}

fn is_service(name: &str) -> bool {
    Service::ALL.iter().any(|service| service.name() == name)
}

/// The list that is meant, and what is known of certificates.
struct Place {
    path: PathBuf,
    folder: Option<Folder>,
    held: Held,
}

impl Place {
    fn of(list: &ListFile) -> Result<Self> {
        let (path, folder) = match &list.list {
            Some(path) => {
                denied::refuse_lost(path)?;
                (path.clone(), Folder::open(&list.home).ok())
            }
            None => {
                let folder = Folder::open(&list.home)?;
                (folder.list_of_denied()?, Some(folder))
            }
        };
        let held = folder.as_ref().map(Folder::known).transpose()?;
        let held = held.unwrap_or_default();
        for unread in &held.unread {
            complain(&format_args!("Left out: {:#}.", unread.error));
        }
        Ok(Self { path, folder, held })
    }

    fn chosen(&self, selected: &Selected) -> Result<Vec<Chosen>> {
        selected::chosen(selected, self.folder.as_ref(), &self.held)
    }

    /// Whether the services run apart, and find their certificates elsewhere than in the folder.
    fn is_prepared(&self) -> bool {
        self.folder.as_ref().is_some_and(Folder::is_prepared)
    }

    /// What would stop more than one holder of one certificate.
    fn harm(&self, chosen: &Chosen) -> Option<String> {
        if chosen.is_authority {
            return Some("it is an authority's certificate: everything that the authority issued would be refused".to_owned());
        }
        let Some(Identity::Internal(role)) = chosen.identity else {
            return None;
        };
        if matches!(chosen.denied, Denied::Identity(_)) {
            return Some(format!(
                "all certificates of {role} would be refused, also new ones"
            ));
        }
        let command = if self.is_prepared() {
            PREPARE.to_owned()
        } else {
            format!("`mp169 certificate issue {role}`")
        };
        is_service(role.as_str()).then(|| {
            format!(
                "{role} is a service of the mesh: the others would refuse it until it shows another \
                 certificate: {command}"
            )
        })
    }

    /// How somebody gets a new certificate.
    fn issues(&self, name: &str) -> String {
        if is_service(name) && self.is_prepared() {
            return format!(
                "To issue a new certificate to {name} itself: {PREPARE}. To issue one that is kept in this folder: \
                 `mp169 certificate issue {name}`."
            );
        }
        let command = match InternalRole::from_spiffe_path(name) {
            Some(_) => "mp169 certificate issue",
            None => "mp169 party certificate",
        };
        format!("To issue a new certificate: `{command} {name}`.")
    }

    /// Says what became of each.
    fn told(
        &self,
        output: Output,
        chosen: &[Chosen],
        changed: &[bool],
        [yes, no]: [&str; 2],
    ) -> Result<()> {
        let each = chosen.iter().zip(changed);
        if output == Output::Json {
            let entries = each.map(|(chosen, changed)| {
                let mut entry = self.json(&chosen.denied);
                entry["changed"] = (*changed).into();
                entry
            });
            return print_line(&json!({
                "list": self.path.display().to_string(),
                "entries": entries.collect::<Vec<_>>(),
                "effectiveWithinSeconds": EFFECTIVE_WITHIN,
            }));
        }
        let rows = each.map(|(chosen, changed)| {
            let mut row = self.row(&chosen.denied);
            row.push(if *changed { yes } else { no }.to_owned());
            row
        });
        print_table(&["serial", "issuer", "holder", "now"], rows.collect())
    }

    fn in_effect(&self) -> Result<()> {
        // The name in the folder may be a link: others know the list by where it leads.
        let path = if self.path.is_symlink() {
            std::fs::canonicalize(&self.path)?
        } else {
            self.path.clone()
        };
        print_line(&format_args!(
            "In effect within {EFFECTIVE_WITHIN} seconds, also on open connections, in every process that reads {}.",
            path.display()
        ))?;
        print_line(&"Machines that read another file need the same entries there.")
    }

    /// The name under which a certificate was issued, or whom it names.
    fn holder(&self, denied: &Denied) -> String {
        match denied {
            Denied::Identity(identity) => {
                let named = self
                    .held
                    .known
                    .iter()
                    .find(|known| known.identity == Some(*identity));
                let name = named.filter(|_| matches!(identity, Identity::Organisation(_)));
                name.map_or_else(String::new, |known| format!("{} ", known.name))
                    + &identity.to_string()
            }
            Denied::Certificate(id) => {
                let known = self.held.known.iter().find(|known| known.id == *id);
                known.map(|known| known.name.clone()).unwrap_or_default()
            }
        }
    }

    fn row(&self, denied: &Denied) -> Vec<String> {
        let holder = self.holder(denied);
        match denied {
            Denied::Certificate(id) => vec![id.serial.to_string(), id.issuer.to_string(), holder],
            Denied::Identity(_) => vec!["all".to_owned(), "any".to_owned(), holder],
        }
    }

    fn json(&self, denied: &Denied) -> Value {
        match denied {
            Denied::Certificate(id) => json!({
                "serial": id.serial.to_string(),
                "issuer": id.issuer.to_string(),
                "holder": self.holder(denied),
            }),
            Denied::Identity(identity) => json!({ "identity": identity.to_string() }),
        }
    }
}
