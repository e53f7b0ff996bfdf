//! The demonstration: the mesh's main job as a story, in acts that people can read and that fail if
//! anything does not come out as told.

mod flags;
mod messages;
mod narrator;
mod registration;
mod reports;
mod stage;
mod start;
mod watch;

use std::path::{Path, PathBuf};
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
use stage::{Before, Stage};
use watch::CspWatch;

/// When the story begins: 2 March 2026, 09:00 UTC. Any month would do; a fixed one makes every
/// telling the same.
const BEGINNING: Timestamp = Timestamp::from_micros(1_772_442_000_000_000);

/// How long the story waits for something that must happen within about a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// On which mesh the story is told.
pub(crate) enum Where<'a> {
    /// One that is made for it and thrown away, with its databases in files or on this server.
    Own(Option<&'a DatabaseServer>),
    /// That of this folder, which runs and goes on.
    Running(&'a Path),
}

/// What the acts share.
struct Story {
    narrator: Narrator,
    stage: Stage,
    folder: Folder,
    before: Before,
    csp_north: CspWatch,
    /// The last change that the story waits for before it asks anybody downstream.
    flag_position: Option<Position>,
    /// When the last flag changed.
    settled: Timestamp,
    /// Where the month's report is, once it is written.
    page: Option<PathBuf>,
}

/// Tells the whole story.
pub(crate) async fn tell(audience: Audience, place: Where<'_>) -> Result<()> {
    let narrator = Narrator::new(audience);
    match place {
        Where::Own(server) => on_a_mesh_of_its_own(narrator, server).await,
        Where::Running(home) => on_one_that_runs(narrator, home).await,
    }
}

async fn on_a_mesh_of_its_own(
    mut narrator: Narrator,
    server: Option<&DatabaseServer>,
) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let clock = Arc::new(StoryClock::starting_at(BEGINNING));
    let folder = Folder::open_or_make(scratch.path())?.with_databases(server.cloned())?;
    let mesh = start::mesh(&mut narrator, &folder, clock.clone()).await?;
    let told = acts(narrator, Stage::own(clock), folder).await;
    let clean = mesh.stop().await;
    judged(told?)?;
    if !clean {
        bail!("a service did not stop in good order");
    }
    Ok(())
}

async fn on_one_that_runs(mut narrator: Narrator, home: &Path) -> Result<()> {
    let folder = Folder::open(home)?;
    start::running(&mut narrator, &folder).await?;
    judged(acts(narrator, Stage::running(), folder).await?)
}

fn judged(surprises: usize) -> Result<()> {
    if surprises > 0 {
        bail!("{surprises} steps did not come out as told");
    }
    Ok(())
}

async fn acts(mut narrator: Narrator, stage: Stage, folder: Folder) -> Result<usize> {
    let before = Before::of(&stage, &folder).await?;
    start::inventory(&mut narrator, &stage, &folder).await?;
    let meters = [stage.home(0).esme(), stage.home(0).gsme()];
    let csp_north = CspWatch::start(&folder, "CSP-NORTH", "north", &meters)?;
    let mut story = Story {
        narrator,
        stage,
        folder,
        before,
        csp_north,
        flag_position: None,
        settled: BEGINNING,
        page: None,
    };
    story.messages_before().await?;
    story.flags_are_set().await?;
    story.others_are_refused().await?;
    story.messages_after().await?;
    story.csps_are_told().await?;
    story.supplier_changes().await?;
    story.tenancy_changes().await?;
    story.month_is_reported().await?;
    let (_, surprises) = story.narrator.end(story.page.as_deref());
    Ok(surprises)
}

impl Story {
    fn home(&self, number: u16) -> Home {
        self.stage.home(number)
    }

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
        Err(status) => crate::refusal::refusal(&status),
    }
}
