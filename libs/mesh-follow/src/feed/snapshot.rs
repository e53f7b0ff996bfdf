//! Where does the snapshot of a log come from?

use async_trait::async_trait;
use mesh_store::StoreError;
use mesh_types::Sequence;

/// How many items a part of a snapshot has: some 50 KiB of Devices or flags. Every reader that takes
/// nothing costs the memory of about two parts.
pub const SNAPSHOT_ITEMS: u32 = 128;

/// A part of a snapshot.
#[derive(Debug)]
pub struct SnapshotPage<P> {
    /// What is sent.
    pub part: P,
    /// How many items it has.
    pub items: u64,
    /// The key after which the next page begins; `None` on the last page.
    pub next_key: Option<String>,
}

/// Where the snapshot of a log comes from.
#[async_trait]
pub trait SnapshotPages: Send + Sync + 'static {
    /// What a page is sent as.
    type Part: Send;

    /// The items that hold at sequence `at` with keys after `after`, in the order of their keys.
    async fn page(
        &self,
        at: Sequence,
        after: Option<&str>,
    ) -> Result<SnapshotPage<Self::Part>, StoreError>;
}

/// For a log whose state is nothing but its events: the snapshot is empty.
#[derive(Debug)]
pub struct NoSnapshot<P>(std::marker::PhantomData<fn() -> P>);

impl<P> Default for NoSnapshot<P> {
    fn default() -> Self {
        Self(std::marker::PhantomData)
    }
}

#[async_trait]
impl<P: Default + Send + 'static> SnapshotPages for NoSnapshot<P> {
    type Part = P;

    async fn page(
        &self,
        _at: Sequence,
        _after: Option<&str>,
    ) -> Result<SnapshotPage<P>, StoreError> {
        Ok(SnapshotPage {
            part: P::default(),
            items: 0,
            next_key: None,
        })
    }
}
