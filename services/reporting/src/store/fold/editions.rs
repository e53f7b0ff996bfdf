//! Is an edition still what it was?

use mesh_store::StoreError;
use mesh_store::fold::{Folded, Unlike};
use mesh_store::sql::Conn;

use crate::edition::{Content, Edition};
use crate::store::{content, editions};

/// Reads each edition's content anew.
#[derive(Debug)]
pub struct Editions {
    folded: Folded,
    /// Those that are still to be looked at, the next one last; `None` before the first page.
    rest: Option<Vec<Edition>>,
}

impl Editions {
    pub(super) const fn new(folded: Folded) -> Self {
        Self { folded, rest: None }
    }

    pub(super) fn into_folded(self) -> Folded {
        self.folded
    }

    /// One at a time: a month may have very many Devices.
    pub(super) async fn page(&mut self, conn: &mut Conn) -> Result<bool, StoreError> {
        let mut snapshot = conn.snapshot().await?;
        let more = match self.rest.as_mut().map(Vec::pop) {
            None => {
                let mut all = editions::all(&mut snapshot).await?;
                all.retain(Edition::is_made);
                all.reverse();
                self.rest = Some(all);
                true
            }
            Some(Some(edition)) => {
                let text = content::text_of(&mut snapshot, &edition).await?;
                self.compare(&edition, &text);
                true
            }
            Some(None) => false,
        };
        snapshot.rollback().await?;
        Ok(more)
    }

    fn compare(&mut self, edition: &Edition, text: &str) {
        self.folded.up_to = edition.number;
        if Content::sha256(text) == edition.sealed.sha256 {
            self.folded.fit += 1;
            return;
        }
        let (period, number) = (edition.period, edition.restatement);
        let named = format!("{} {} {number}", period.month, period.zone.name());
        let unlike = Unlike::Column("content_sha256");
        self.folded
            .differs("edition", named, edition.number, unlike);
    }
}
