//! The demonstration: the mesh's main job as a story, in acts that people can read and that fail if
//! anything does not come out as told.

mod flags;
mod messages;
mod narrator;
mod registration;
mod reports;
mod start;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use mesh_api::common::v1::Position;
use mesh_store::DatabaseServer;
use mesh_types::Timestamp;

pub(crate) use narrator::Audience;

use crate::clients::Clients;
use crate::clock::StoryClock;
use crate::home::Folder;
use crate::sample::Home;
use narrator::{Narrator, Step};
use watch::CspWatch;

/// When the story begins: 2 March 2026, 09:00 UTC. Any month would do; a fixed one makes every
/// telling the same.
const BEGINNING: Timestamp = Timestamp::from_micros(1_772_442_000_000_000);

/// The home that the story is about.
const HOME: Home = Home::new(0);

/// How long the story waits for something that must happen within about a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the acts share.
struct Story {
    narrator: Narrator,
    clock: Arc<StoryClock>,
    folder: Folder,
    csp_north: CspWatch,
    /// The last change that the story waits for before it asks anybody downstream.
    flag_position: Option<Position>,
}

/// Tells the whole story in a folder that is thrown away, with databases in it or on `server`.
pub(crate) async fn tell(audience: Audience, server: Option<&DatabaseServer>) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let mut narrator = Narrator::new(audience);
    let clock = Arc::new(StoryClock::starting_at(BEGINNING));
    let folder = Folder::open_or_make(scratch.path())?.with_databases(server.cloned())?;
    let mesh = start::mesh(&mut narrator, &folder, clock.clone()).await?;
    let told = acts(narrator, clock, folder).await;
    let clean = mesh.stop().await;
    let surprises = told?;
    if surprises > 0 {
        bail!("{surprises} steps did not come out as told");
    }
    if !clean {
        bail!("a service did not stop in good order");
    }
    Ok(())
}

async fn acts(mut narrator: Narrator, clock: Arc<StoryClock>, folder: Folder) -> Result<usize> {
    start::inventory(&mut narrator, &folder).await?;
    let csp_north = CspWatch::start(&folder, "CSP-NORTH", "north")?;
    let mut story = Story {
        narrator,
        clock,
        folder,
        csp_north,
        flag_position: None,
    };
    story.messages_before().await?;
    story.flags_are_set().await?;
    story.others_are_refused().await?;
    story.messages_after().await?;
    story.csps_are_told().await?;
    story.supplier_changes().await?;
    story.tenancy_changes().await?;
    story.month_is_reported().await?;
    let (_, surprises) = story.narrator.end();
    Ok(surprises)
}

impl Story {
    fn clients(&self, identity: &str) -> Result<Clients> {
        Clients::of(&self.folder, identity)
    }

    fn step(&mut self, who: &str, what: impl Into<String>, expected: &str, came_out: String) {
        let expected = expected.to_owned();
        self.narrator.step(Step {
            who,
            what: what.into(),
            expected,
            came_out,
        });
    }
}

/// Asks again until the answer is the wanted one or patience ends; gives the last answer.
async fn until<T, F>(wanted: impl Fn(&T) -> bool, mut ask: F) -> T
where
    F: AsyncFnMut() -> T,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let answer = ask().await;
        if wanted(&answer) || tokio::time::Instant::now() > deadline {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What came out, in one line.
fn line<T>(
    answer: Result<tonic::Response<T>, tonic::Status>,
    say: impl FnOnce(T) -> String,
) -> String {
    match answer {
        Ok(answer) => say(answer.into_inner()),
        Err(status) => crate::outcome::refusal(&status),
    }
}
