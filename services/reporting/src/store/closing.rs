//! Closing months, and choosing among the editions that there are.

use std::borrow::Cow;
use std::collections::BTreeMap;

use mesh_store::StoreError;
use mesh_types::Timestamp;

use super::batch::{Answer, Command, Refused};
use super::editions::{self, Beginning, NotBegun};
use super::{ReportStore, content, layers, misanswered, open};
use crate::business_process::{BusinessProcesses, ProcessKey};
use crate::edition::{
    Choice, Content, Due, Edition, Grace, Layers, Made, RULES_VERSION, Seal, due,
};
use crate::outcome::Variant;
use crate::period::Period;

/// The program, as an edition names it.
const PROGRAM: &str = concat!("mp169 ", env!("CARGO_PKG_VERSION"));

/// The figures that a choice means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// What they are made of.
    pub layers: Layers,
    /// The edition that they are of; `None` for what is recorded by now.
    pub edition: Option<Edition>,
    /// The business process of each variant of that edition.
    processes: BTreeMap<Variant, ProcessKey>,
}

/// The month has no such edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotChosen;

impl Chosen {
    /// What is recorded by now.
    const fn recorded() -> Self {
        Self {
            layers: Layers::All,
            edition: None,
            processes: BTreeMap::new(),
        }
    }

    /// The table of business processes: of an edition as it was when that was made.
    #[must_use]
    pub fn business_processes(&self) -> Cow<'static, BusinessProcesses> {
        match &self.edition {
            None => Cow::Borrowed(BusinessProcesses::builtin()),
            Some(edition) => Cow::Owned(BusinessProcesses::of_edition(
                &edition.sealed.business_processes,
                self.processes.clone(),
            )),
        }
    }
}

impl ReportStore {
    /// Closes a month, or restates it. Gives the edition, also if it was made before.
    pub async fn close_month(
        &self,
        beginning: Beginning,
    ) -> Result<Result<Edition, NotBegun>, StoreError> {
        let number = match self.writer.submit(Command::BeginEdition(beginning)).await? {
            Ok(Answer::Begun(number)) => number,
            Err(Refused::NotBegun(why)) => return Ok(Err(why)),
            Ok(_) | Err(Refused::Stale | Refused::Misnumbered(_)) => return Err(misanswered()),
        };
        self.seal(number).await.map(Ok)
    }

    /// Makes the editions that are due at `now`, and those that were only begun when the service ended. Gives
    /// those that it made.
    pub async fn close_due_months(
        &self,
        now: Timestamp,
        grace: Grace,
    ) -> Result<Vec<Edition>, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let editions = editions::all(&mut snapshot).await?;
        let counted = layers::counted(&mut snapshot).await?;
        let settled_until = open::settled_until(&mut snapshot).await?;
        drop(snapshot);
        let mut made = Vec::new();
        for begun in editions.iter().filter(|one| !one.is_made()) {
            made.push(self.seal(begun.number).await?);
        }
        let known: Vec<Made> = editions.iter().map(Made::from).collect();
        for Due {
            period,
            restatement,
        } in due(&known, &counted, settled_until, now, grace)
        {
            let beginning = Beginning {
                period,
                restatement,
                by_operator: false,
            };
            // Another replica may have been first, or an operator.
            if let Ok(edition) = self.close_month(beginning).await? {
                made.push(edition);
            }
        }
        Ok(made)
    }

    /// The editions that are made, of one month or of all, in the order in which they were begun; and how many
    /// outcomes of its month each has not.
    pub async fn editions(&self, of: Option<Period>) -> Result<Vec<(Edition, u64)>, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let mut editions = editions::all(&mut snapshot).await?;
        editions.retain(|one| one.is_made() && of.is_none_or(|period| one.period == period));
        let mut all = Vec::with_capacity(editions.len());
        for edition in editions {
            let later = editions::later(&mut snapshot, edition.period, edition.number).await?;
            all.push((edition, later));
        }
        Ok(all)
    }

    /// What a choice among the editions of a month means.
    pub async fn choose(
        &self,
        period: Period,
        choice: Choice,
    ) -> Result<Result<Chosen, NotChosen>, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let mut editions = editions::of(&mut snapshot, period).await?;
        editions.retain(Edition::is_made);
        let numbered = |number: u32| {
            let found = editions.iter().find(|one| one.restatement == number);
            found.cloned()
        };
        let edition = match choice {
            Choice::Now => return Ok(Ok(Chosen::recorded())),
            Choice::Latest => match editions.last() {
                None => return Ok(Ok(Chosen::recorded())),
                Some(last) => Some(last.clone()),
            },
            Choice::Restatement(number) | Choice::AddedBy(number) => numbered(number),
        };
        let Some(edition) = edition else {
            return Ok(Err(NotChosen));
        };
        let processes = editions::processes(&mut snapshot, edition.number).await?;
        let layers = match choice {
            Choice::AddedBy(_) => edition.added(),
            Choice::Latest | Choice::Restatement(_) | Choice::Now => edition.layers(),
        };
        Ok(Ok(Chosen {
            layers,
            edition: Some(edition),
            processes,
        }))
    }

    /// The content of an edition, read anew.
    pub async fn edition_content(&self, edition: &Edition) -> Result<String, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        content::text_of(&mut snapshot, edition).await
    }

    /// Reads what an edition is made of and writes the hash of it.
    async fn seal(&self, number: u64) -> Result<Edition, StoreError> {
        let table = BusinessProcesses::builtin();
        let edition = self.edition(number).await?;
        if edition.is_made() {
            return Ok(edition);
        }
        let mut snapshot = self.store.snapshot().await?;
        let versions = (RULES_VERSION, table.version());
        let process_of = |variant: &Variant| Some(table.of(variant).clone());
        let content = content::read(&mut snapshot, &edition, versions, process_of).await?;
        drop(snapshot);
        let seal = Seal {
            sha256: Content::sha256(&content.text()),
            program: PROGRAM.to_owned(),
            rules: RULES_VERSION.to_owned(),
            business_processes: table.version().to_owned(),
        };
        let processes = content.processes;
        self.done(Command::SealEdition {
            number,
            seal,
            processes,
        })
        .await?;
        self.edition(number).await
    }

    async fn edition(&self, number: u64) -> Result<Edition, StoreError> {
        let mut snapshot = self.store.snapshot().await?;
        let editions = editions::all(&mut snapshot).await?;
        let found = editions.into_iter().find(|one| one.number == number);
        found.ok_or_else(|| StoreError::inconsistent("edition", "an edition is gone"))
    }
}

impl From<&Edition> for Made {
    fn from(edition: &Edition) -> Self {
        Self {
            period: edition.period,
            restatement: edition.restatement,
            number: edition.number,
        }
    }
}
