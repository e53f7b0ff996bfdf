//! Which figures are there, and how is each measured beside its baseline?

mod words;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use mesh_api::classification::v1 as wire;
use mp169::service::Service;

use crate::bare::CallsAndCommits;
use crate::beside::Quiet;
use crate::bulk::Batches;
use crate::classify::{Frames, Streamed, Unary};
use crate::commits::Commits;
use crate::deliveries::{Deliveries, From};
use crate::door::{Crowd, Newcomers};
use crate::echo::{Answers, Echo};
use crate::etcd::{Puts, Watched};
use crate::flags::Adds;
use crate::foreign::{Asks, Whose};
use crate::imports::Imports;
use crate::machine::Processors;
use crate::messages::{Exchange, Form, exchanges, largest_firmware};
use crate::outcomes::Outcomes;
use crate::postgres::{self, Copies, Rows};
use crate::recorded::{About, Reads};
use crate::report::{Comparison, Measured, Spread};
use crate::supplier::{Changes, Loser};
use crate::town::Town;
use crate::turn::{Side, Turn};

/// The identity that asks for decisions.
const ASKER: &str = "dsp";
/// Meters that are asked about, half of them flagged, four messages each.
const METERS: usize = 250;
/// Structured messages in a request of a stream: as many as the contract allows.
const STRUCTURED: usize = 1_000;
/// Raw messages in a request of a stream, which is about 100 KiB then.
const RAW: usize = 100;
/// Calls about one message at a time, and those about the largest, which have 15 MB each.
const IN_FLIGHT: usize = 64;
const LARGE_IN_FLIGHT: usize = 2;
/// Streams side by side.
const STREAMS: usize = 2;
/// Devices in a batch: as many as the contract allows.
const BATCH: usize = 1_000;
/// Callers that set flags at a time, and rows that are committed at a time beside them.
const MANY: usize = 64;
const SOME: usize = 8;
/// Homes that change their supplier at a time while the losing one writes.
const SUPPLIERS_LOST: usize = 8;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// One raw message per call through the whole chain, 64 calls in flight.
    Classify,
    /// The largest firmware update per call.
    ClassifyFirmware,
    /// Structured messages in streams.
    Stream,
    /// Raw messages in streams.
    StreamRaw,
    /// Flags set by one caller, through the whole mesh.
    Add,
    /// The same beside two bare calls and a commit, one after another.
    AddBare,
    /// Flags set by 8 callers.
    #[value(name = "add-8")]
    Add8,
    /// Flags set by 64 callers.
    #[value(name = "add-64")]
    Add64,
    /// Flags set by one caller in batches of 1,000.
    AddBatch,
    /// The same beside puts of etcd by 64 callers.
    AddBatchEtcd,
    /// Flags set by one caller, beside rows that PostgreSQL commits for one.
    AddPgbench,
    /// The same with 8 callers.
    #[value(name = "add-8-pgbench")]
    Add8Pgbench,
    /// The same with 64 callers.
    #[value(name = "add-64-pgbench")]
    Add64Pgbench,
    /// Flags set by one caller, beside puts of etcd.
    AddEtcd,
    /// The same with 8 callers.
    #[value(name = "add-8-etcd")]
    Add8Etcd,
    /// The same with 64 callers.
    #[value(name = "add-64-etcd")]
    Add64Etcd,
    /// Flags set one after another until their CSP has them, beside puts of etcd and a watcher.
    Deliver,
    /// The same from when the flag is recorded, beside the same puts from the call.
    DeliverRecorded,
    /// Reads through the chain with a record of each, beside reads without.
    Recorded,
    /// The same of reads of the past, whose records are on disk before the answers.
    RecordedPast,
    /// One supplier's reads beside another that keeps 50 batches of 1,000 Devices open.
    #[value(name = "beside-50")]
    Beside50,
    /// The same beside 700 batches.
    #[value(name = "beside-700")]
    Beside700,
    /// Refusals about another's Device, beside those about one that does not exist: the same time.
    Foreign,
    /// The same, 1,000 Devices at a time.
    ForeignBatch,
    /// Refusals about another's Device, beside answers about one's own.
    ForeignBesideOwn,
    /// The first answers of new clients beside a crowd that connects 300 times a second and says
    /// nothing.
    Door,
    /// The same beside a crowd that connects as often as it can.
    DoorFlood,
    /// The same beside a crowd that connects as often as it can, says its ClientHello, and stops.
    DoorHellos,
    /// Changes of supplier while nobody writes, one after another. From here on the CSPs' logs are
    /// behind the log `flags`, so these come last.
    ChangeSupplier,
    /// Changes of supplier while the losing one writes on that Device, beside those without.
    ChangeSupplierWritten,
    /// Rows of an inventory, beside rows that are copied into one table of PostgreSQL. They stay.
    Import,
    /// Outcomes, beside the same rows copied into one table of PostgreSQL. They are counted and stay so.
    Outcomes,
}

/// How long is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: u32,
    pub(crate) turn: Duration,
    /// Rows of an inventory that are loaded in one stream, or copied in one transaction.
    pub(crate) rows: u64,
}

/// How what is not ours is run.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Where they keep their data.
    pub(crate) folder: PathBuf,
    /// Whether etcd is reached without TLS.
    pub(crate) plain_etcd: bool,
}

impl Figure {
    /// Measures it on `town`; `None` if it stands beside a peer that is not installed here.
    pub(crate) async fn measure(
        self,
        town: &Town,
        effort: Effort,
        peers: &Peers,
    ) -> Result<Option<Comparison>> {
        let measured = match self {
            Self::Classify => {
                let exchanges = some_exchanges(town, Form::Raw)?;
                self.unary(town, &exchanges, IN_FLIGHT, effort).await
            }
            Self::ClassifyFirmware => {
                let firmware = largest_firmware(&town.flagged());
                self.unary(town, &[firmware], LARGE_IN_FLIGHT, effort).await
            }
            Self::Stream => {
                let exchanges = some_exchanges(town, Form::Structured)?;
                let frames = Frames::of(&exchanges, STRUCTURED);
                self.streams(town, frames, effort).await
            }
            Self::StreamRaw => {
                let exchanges = some_exchanges(town, Form::Raw)?;
                let frames = Frames::of(&exchanges, RAW);
                self.streams(town, frames, effort).await
            }
            Self::Add => self.adds(town, 1, effort).await,
            Self::AddBare => self.adds_beside_bare(town, effort).await,
            Self::Add8 => self.adds(town, SOME, effort).await,
            Self::Add64 => self.adds(town, MANY, effort).await,
            Self::AddBatch => self.batches(town, effort).await,
            Self::AddBatchEtcd => {
                let mesh = Batches::new(town, BATCH)?;
                return self.beside_etcd(town, mesh, MANY, effort, peers).await;
            }
            Self::AddPgbench => return self.beside_pgbench(town, 1, effort, peers).await,
            Self::Add8Pgbench => return self.beside_pgbench(town, SOME, effort, peers).await,
            Self::Add64Pgbench => return self.beside_pgbench(town, MANY, effort, peers).await,
            Self::AddEtcd => {
                let mesh = Adds::new(town, 1)?;
                return self.beside_etcd(town, mesh, 1, effort, peers).await;
            }
            Self::Add8Etcd => {
                let mesh = Adds::new(town, SOME)?;
                return self.beside_etcd(town, mesh, SOME, effort, peers).await;
            }
            Self::Add64Etcd => {
                let mesh = Adds::new(town, MANY)?;
                return self.beside_etcd(town, mesh, MANY, effort, peers).await;
            }
            Self::Deliver => return self.deliveries(town, From::TheCall, effort, peers).await,
            Self::DeliverRecorded => {
                return self.deliveries(town, From::ItsRecord, effort, peers).await;
            }
            Self::Import => return self.imports(town, effort, peers).await,
            Self::Outcomes => return self.outcomes(town, effort, peers).await,
            Self::ChangeSupplier => self.changes(town, effort).await,
            Self::ChangeSupplierWritten => self.changes_written(town, effort).await,
            Self::Recorded => self.reads(town, About::ThePresent, effort).await,
            Self::RecordedPast => self.reads(town, About::ThePast, effort).await,
            Self::Beside50 => self.beside(town, 50, effort).await,
            Self::Beside700 => self.beside(town, 700, effort).await,
            Self::Foreign => self.foreign(town, Whose::Missing, 1, effort).await,
            Self::ForeignBatch => self.foreign(town, Whose::Missing, BATCH, effort).await,
            Self::ForeignBesideOwn => self.foreign(town, Whose::Own, 1, effort).await,
            Self::Door => self.door(town, Crowd::Silent(300), effort).await,
            Self::DoorFlood => self.door(town, Crowd::SilentFlood, effort).await,
            Self::DoorHellos => self.door(town, Crowd::Hellos, effort).await,
        };
        measured.map(Some)
    }

    async fn unary(
        self,
        town: &Town,
        exchanges: &[Exchange],
        in_flight: usize,
        effort: Effort,
    ) -> Result<Comparison> {
        let channels = town.channels(Service::Classification, ASKER)?;
        let mesh = Unary::new(&channels, exchanges, in_flight);
        let (expected, answer) = mesh.typical().await?;
        let echo = echo(town, answer, Vec::new()).await?;
        let channels = town.channels_to(Service::Classification, &echo.address, ASKER)?;
        let bare = mesh.always(&channels, &expected);
        self.compare(mesh, bare, effort).await
    }

    async fn streams(self, town: &Town, frames: Frames, effort: Effort) -> Result<Comparison> {
        let mut channels = town.channels(Service::Classification, ASKER)?;
        channels.truncate(STREAMS);
        let answers = frames.answers(channels[0].clone()).await?;
        let echo = echo(town, wire::ClassifyResponse::default(), answers).await?;
        let mut bare = town.channels_to(Service::Classification, &echo.address, ASKER)?;
        bare.truncate(STREAMS);
        let streamed = |channels| Streamed {
            channels,
            frames: frames.clone(),
        };
        let (mesh, bare) = (streamed(channels), streamed(bare));
        self.compare(mesh, bare, effort).await
    }

    async fn adds(self, town: &Town, callers: usize, effort: Effort) -> Result<Comparison> {
        let mesh = Adds::new(town, callers)?;
        let commits = Commits::open(town, callers).await?;
        self.compare(mesh, commits, effort).await
    }

    async fn batches(self, town: &Town, effort: Effort) -> Result<Comparison> {
        let mesh = Batches::new(town, BATCH)?;
        let commits = Commits::open(town, BATCH).await?;
        self.compare(mesh, commits, effort).await
    }

    async fn adds_beside_bare(self, town: &Town, effort: Effort) -> Result<Comparison> {
        let bare = CallsAndCommits::start(town).await?;
        self.compare(Adds::new(town, 1)?, bare, effort).await
    }

    async fn beside_pgbench(
        self,
        town: &Town,
        callers: usize,
        effort: Effort,
        peers: &Peers,
    ) -> Result<Option<Comparison>> {
        let Some(commits) = postgres::Commits::start(&peers.folder, callers)? else {
            return Ok(None);
        };
        let mesh = Adds::new(town, callers)?;
        self.compare(mesh, commits, effort).await.map(Some)
    }

    async fn beside_etcd(
        self,
        town: &Town,
        mesh: impl Side,
        callers: usize,
        effort: Effort,
        peers: &Peers,
    ) -> Result<Option<Comparison>> {
        let Some(puts) = Puts::start(town, &peers.folder, peers.plain_etcd, callers)? else {
            return Ok(None);
        };
        self.compare(mesh, puts, effort).await.map(Some)
    }

    async fn deliveries(
        self,
        town: &Town,
        from: From,
        effort: Effort,
        peers: &Peers,
    ) -> Result<Option<Comparison>> {
        let watched = Watched::start(town, &peers.folder, peers.plain_etcd).await?;
        let Some(watched) = watched else {
            return Ok(None);
        };
        let mesh = Deliveries::start(town, from).await?;
        self.compare(mesh, watched, effort).await.map(Some)
    }

    async fn imports(
        self,
        town: &Town,
        effort: Effort,
        peers: &Peers,
    ) -> Result<Option<Comparison>> {
        let Some(copies) = Copies::start(&peers.folder, effort.rows, Rows::Inventory) else {
            return Ok(None);
        };
        let mesh = Imports::new(town, effort.rows)?;
        self.compare(mesh, copies, effort).await.map(Some)
    }

    async fn outcomes(
        self,
        town: &Town,
        effort: Effort,
        peers: &Peers,
    ) -> Result<Option<Comparison>> {
        let Some(copies) = Copies::start(&peers.folder, effort.rows, Rows::Outcomes) else {
            return Ok(None);
        };
        let mesh = Outcomes::new(town, effort.rows)?;
        self.compare(mesh, copies, effort).await.map(Some)
    }

    async fn changes(self, town: &Town, effort: Effort) -> Result<Comparison> {
        let mesh = Changes::new(town, Loser::Quiet, 1)?;
        let commits = Commits::open(town, 1).await?;
        self.compare(mesh, commits, effort).await
    }

    async fn changes_written(self, town: &Town, effort: Effort) -> Result<Comparison> {
        let written = Changes::new(town, Loser::Writes, SUPPLIERS_LOST)?;
        let quiet = Changes::new(town, Loser::Quiet, SUPPLIERS_LOST)?;
        self.compare(written, quiet, effort).await
    }

    async fn reads(self, town: &Town, about: About, effort: Effort) -> Result<Comparison> {
        let mut recorded = Reads::recorded(town, about, IN_FLIGHT).await?;
        let mut unrecorded = Reads::unrecorded(town, about, IN_FLIGHT).await?;
        let compared = self.compare(&mut recorded, &mut unrecorded, effort).await;
        recorded.stop().await?;
        unrecorded.stop().await?;
        compared
    }

    async fn beside(self, town: &Town, open: usize, effort: Effort) -> Result<Comparison> {
        let (beside, alone) = (Quiet::beside(town, open)?, Quiet::beside(town, 0)?);
        self.compare(beside, alone, effort).await
    }

    async fn foreign(
        self,
        town: &Town,
        beside: Whose,
        each: usize,
        effort: Effort,
    ) -> Result<Comparison> {
        let foreign = Asks::about(town, Whose::Foreign, each)?;
        let beside = Asks::about(town, beside, each)?;
        self.compare(foreign, beside, effort).await
    }

    async fn door(self, town: &Town, crowd: Crowd, effort: Effort) -> Result<Comparison> {
        let beside = Newcomers::beside(town, Some(crowd))?;
        let alone = Newcomers::beside(town, None)?;
        self.compare(beside, alone, effort).await
    }

    /// Measures both sides in turns, after a short turn of each that does not count.
    async fn compare(
        self,
        mut mesh: impl Side,
        mut baseline: impl Side,
        effort: Effort,
    ) -> Result<Comparison> {
        let name = self.to_string();
        let short = effort.turn / 4;
        one_turn(&mut mesh, short).await.context(name.clone())?;
        one_turn(&mut baseline, short).await.context(name.clone())?;
        let start = Processors::now();
        let (mut ours, mut bare) = (Vec::new(), Vec::new());
        for round in 1..=effort.rounds {
            let turn = one_turn(&mut mesh, effort.turn).await;
            ours.push(turn.context(name.clone())?);
            let turn = one_turn(&mut baseline, effort.turn).await;
            bare.push(turn.context(name.clone())?);
            eprintln!("{name}: round {round} of {}", effort.rounds);
        }
        let pairs = || ours.iter().zip(&bare);
        let ratios = pairs().map(|(ours, bare)| ours.rate() / bare.rate());
        let by_cost = pairs().map(|(ours, bare)| Some(bare.cost()? / ours.cost()?));
        let (mesh, baseline) = (Measured::of(&ours), Measured::of(&bare));
        Ok(Comparison {
            figure: name,
            unit: self.unit(),
            baseline_is: self.baseline(),
            ratio: Spread::of(ratios),
            ratio_of_p99: mesh.p99_ms / baseline.p99_ms,
            ratio_of_worst: mesh.worst_ms / baseline.worst_ms,
            mesh,
            baseline,
            ratio_by_cost: by_cost.collect::<Option<Vec<_>>>().map(Spread::of),
            others: Processors::others_since(start),
        })
    }
}

async fn one_turn(side: &mut impl Side, time: Duration) -> Result<Turn> {
    let turn = side.turn(time).await?;
    side.settle().await?;
    Ok(turn)
}

fn some_exchanges(town: &Town, form: Form) -> Result<Vec<Exchange>> {
    let flagged = town.flagged().into_iter().map(|meter| (meter, true));
    let others = town.unflagged().into_iter().map(|meter| (meter, false));
    let meters = flagged.zip(others).flat_map(|(one, other)| [one, other]);
    exchanges(form, meters.take(METERS))
}

async fn echo(
    town: &Town,
    unary: wire::ClassifyResponse,
    streamed: Vec<wire::ClassifyStreamResponse>,
) -> Result<Echo> {
    let answers = Answers {
        unary: Arc::new(unary),
        streamed: streamed.into_iter().map(Arc::new).collect(),
    };
    Echo::start(town.server_tls(Service::Classification)?, answers).await
}
