//! The file of what is denied, as people and the command write it.
//!
//! It is edited, not written anew: comments and the order of entries stay. Whoever reads it meanwhile
//! finds the old list or the new one, never half of one, and two commands at once do not lose each
//! other's entries.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result, anyhow, bail};
use mesh_rpc::{CertificateId, DenialReason, Denied, DenyList};
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, value};

use crate::replace::{beside, give, replace};

/// The name of the list in the folder of a mesh.
pub(crate) const DENIED_FILE: &str = "denied.toml";

/// What a new file begins with.
pub(crate) const HEADER: &str = "# Certificates and identities that are accepted no more. Each process that was told of this file reads it\n\
    # again when it changes. `mp169 certificate revoke` and `restore` write it; comments stay.\n";

/// The text of a list, to be changed.
struct Text(DocumentMut);

/// Denies each of `denied` that is not denied yet; says which were.
pub(crate) fn deny(
    path: &Path,
    denied: &[Denied],
    reason: Option<&DenialReason>,
    now: jiff::Timestamp,
) -> Result<Vec<bool>> {
    edit(path, |text, list| {
        let fresh: Vec<bool> = denied.iter().map(|denied| !holds(list, denied)).collect();
        for (denied, _) in denied.iter().zip(&fresh).filter(|(_, fresh)| **fresh) {
            text.add(denied, reason, now)?;
        }
        Ok(fresh)
    })
}

/// Takes each of `denied` off the list; says which were on it.
pub(crate) fn accept(path: &Path, denied: &[Denied]) -> Result<Vec<bool>> {
    edit(path, |text, list| {
        let there: Vec<bool> = denied.iter().map(|denied| holds(list, denied)).collect();
        for denied in denied {
            text.remove(denied)?;
        }
        Ok(there)
    })
}

/// What is denied.
pub(crate) fn read(path: &Path) -> Result<DenyList> {
    parse(path, &text(path)?)
}

fn holds(list: &DenyList, denied: &Denied) -> bool {
    list.entries().iter().any(|entry| entry.denied == *denied)
}

/// A list that was lost is not taken for an empty one: whoever then writes a new one, with one entry
/// or none, lets in again whom the lost one denied.
pub(crate) fn refuse_lost(path: &Path) -> Result<()> {
    let there = path.try_exists();
    if there.with_context(|| format!("cannot read {}", path.display()))? {
        return Ok(());
    }
    let quoted = path.display().to_string().replace('\'', r"'\''");
    bail!(
        "{} is missing: without it everything that was denied would be let in again. Put it back \
         from a copy. Only if nothing was ever denied, or if this folder was made before \
         there were such lists, make an empty one: `touch '{quoted}'`",
        path.display()
    )
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn parse(path: &Path, text: &str) -> Result<DenyList> {
    DenyList::parse(text).map_err(|error| anyhow!("{}, {error}", path.display()))
}

/// Changes the file under a lock. A list that cannot be read is left alone.
fn edit(
    path: &Path,
    change: impl FnOnce(&mut Text, &DenyList) -> Result<Vec<bool>>,
) -> Result<Vec<bool>> {
    // Where the name is a link, what it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let _lock = lock(&path)?;
    let before = text(&path)?;
    let list = parse(&path, &before)?;
    let mut document = Text(before.parse()?);
    let changed = change(&mut document, &list)?;
    let after = document.0.to_string();
    // Nobody is to find out by an alarm that the list cannot be read.
    parse(&path, &after)?;
    if after != before {
        replace(&path, &after).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(changed)
}

/// Held until it is dropped.
fn lock(list: &Path) -> Result<File> {
    let path = beside(list, "lock");
    let file = File::create(&path)
        .and_then(|file| file.lock().map(|()| file))
        .with_context(|| format!("cannot lock {}", path.display()))?;
    if let Ok(list) = fs::metadata(list) {
        // So that the list's owner can lock it after root did. Whoever cannot give it away has it.
        let _ = give(&file, &list);
    }
    Ok(file)
}

impl Text {
    fn add(
        &mut self,
        denied: &Denied,
        reason: Option<&DenialReason>,
        now: jiff::Timestamp,
    ) -> Result<()> {
        let mut table = Table::new();
        match denied {
            Denied::Certificate(CertificateId { serial, issuer }) => {
                table["serial"] = value(serial.to_string());
                table["issuer"] = value(issuer.to_string());
            }
            Denied::Identity(identity) => table["identity"] = value(identity.to_string()),
        }
        if let Some(reason) = reason {
            table["reason"] = value(reason.as_str());
        }
        let at: toml_edit::Datetime = format!("{now:.0}").parse()?;
        table["time"] = value(at);
        let trailing = self.0.trailing().as_str().unwrap_or_default().to_owned();
        if self.0.is_empty() && !trailing.is_empty() {
            // All that is there so far are comments, which would end up below the entry.
            self.0.set_trailing("");
            table.decor_mut().set_prefix(format!("{trailing}\n"));
        }
        self.tables(denied)?.push(table);
        Ok(())
    }

    fn remove(&mut self, denied: &Denied) -> Result<()> {
        let mut comments = String::new();
        let tables = self.tables(denied)?;
        tables.retain(|table| {
            let keep = !is(table, denied);
            if !keep {
                comments += comments_of_others(table);
            }
            keep
        });
        if tables.is_empty() {
            self.0.remove(key(denied));
        }
        if !comments.is_empty() {
            self.put_on_top(&comments);
        }
        Ok(())
    }

    /// Puts text before the first entry that is left.
    fn put_on_top(&mut self, text: &str) {
        let tables = self.0.iter_mut().filter_map(|(_, item)| {
            item.as_array_of_tables_mut()
                .and_then(|tables| tables.get_mut(0))
        });
        let first = tables.min_by_key(|table| table.position());
        if let Some(first) = first {
            let own = first.decor().prefix().and_then(|prefix| prefix.as_str());
            let both = format!("{text}{}", own.unwrap_or_default().trim_start_matches('\n'));
            first.decor_mut().set_prefix(both);
        } else {
            let own = self.0.trailing().as_str().unwrap_or_default().to_owned();
            self.0.set_trailing(format!("{text}{own}"));
        }
    }

    /// The entries of the same kind, however they are written.
    fn tables(&mut self, denied: &Denied) -> Result<&mut ArrayOfTables> {
        let item = self
            .0
            .entry(key(denied))
            .or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
        if !item.is_array_of_tables() {
            let tables = std::mem::take(item).into_array_of_tables();
            *item = Item::ArrayOfTables(tables.map_err(|_| anyhow!("the list has no entries"))?);
        }
        item.as_array_of_tables_mut()
            .context("the list has entries")
    }
}

const fn key(denied: &Denied) -> &'static str {
    match denied {
        Denied::Certificate(_) => "certificate",
        Denied::Identity(_) => "identity",
    }
}

/// The comments above an entry that are not about it: those before a blank line.
fn comments_of_others(table: &Table) -> &str {
    let prefix = table.decor().prefix().and_then(|prefix| prefix.as_str());
    let prefix = prefix.unwrap_or_default();
    let end = prefix.rfind("\n\n").map_or(0, |at| at + 2);
    prefix.get(..end).unwrap_or_default()
}

/// Whether an entry is this one, in whatever spelling.
fn is(table: &Table, denied: &Denied) -> bool {
    let text = |key| table.get(key).and_then(Item::as_str).unwrap_or_default();
    match denied {
        Denied::Certificate(id) => {
            text("serial").parse().as_ref() == Ok(&id.serial)
                && text("issuer").parse().as_ref() == Ok(&id.issuer)
        }
        Denied::Identity(identity) => text("identity").parse().as_ref() == Ok(identity),
    }
}

#[cfg(test)]
mod tests;
