//! Are outcomes counted once, and months closed for good, when commits fail, producers are cut off and the process
//! is killed again and again?
//!
//! The text of each closed month must be the one that is made here from the outcomes themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures::future::join_all;
use mesh_api::common::v1::MessageClass;
use mesh_api::reporting::v1 as wire;
use mesh_api::reporting::v1::reporting_service_client::ReportingServiceClient;
use mesh_rpc::MeshChannel;
use mesh_testkit::{temp_dir, wait_until};
use mp169::clients::Clients;
use mp169::home::Folder;
use mp169::load::load;
use mp169::sample::{ALBION, BRIGHT, Home};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use reporting::business_process::BusinessProcesses;
use reporting::edition::Content;

use crate::engine::{Databases, on_each_engine};
use crate::process;
use crate::requests::rows;

/// The test that a new process runs, wherever its databases are.
const TEST: &str = "closed_months::what_is_closed_is_what_was_sent::on_sqlite";
const PRODUCERS: [&str; 2] = ["north", "south"];
const BATCHES: usize = 24;
const OUTCOMES: usize = 200;
const KILLS: usize = 3;
/// 2025-06-01T00:00:00Z.
const JUNE: i64 = 1_748_736_000;
const HOUR: i64 = 3_600;
/// Each zone with the hours of June in it, from the beginning of June in UTC on.
const JUNES: [(wire::MonthZone, &str, std::ops::Range<i64>); 2] = [
    (wire::MonthZone::Utc, "UTC", 0..720),
    (wire::MonthZone::EuropeLondon, "Europe/London", -1..719),
];

on_each_engine!(what_is_closed_is_what_was_sent);

async fn what_is_closed_is_what_was_sent(databases: Databases) {
    if process::is_the_mesh().await {
        return;
    }
    let home = temp_dir();
    let folder = databases.folder(home.path());
    let start = |faulty| process::start(TEST, home.path(), &databases, faulty);
    let mut mesh = start(true);
    // The same each time: a registration that begins a moment later would overlap the one that was recorded.
    let suppliers = rows(2);
    wait_until("the suppliers to be loaded", async || {
        match load(&folder, suppliers.clone(), |_| {}).await {
            Ok(loaded) if loaded.refused == 0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;

    let mut sent = Sent::new();
    let all = PRODUCERS.map(|producer| sent.draw(producer, BATCHES));
    let producers = join_all(PRODUCERS.iter().zip(&all).map(|(producer, batches)| async {
        Producer::of(&folder, producer).send(batches).await;
    }));
    let killed = async {
        for kill in 1..=KILLS {
            let enough = BATCHES * OUTCOMES * PRODUCERS.len() * kill / (KILLS + 1);
            recorded(&folder, enough as u64).await;
            mesh.kill().await.unwrap();
            mesh = start(kill < KILLS);
        }
    };
    tokio::join!(producers, killed);

    let closed = close_all(&folder, 0).await;
    for (zone, text) in &closed {
        assert_eq!(*text, sent.text(*zone, 0));
    }
    mesh.kill().await.unwrap();
    mesh = start(false);
    assert_eq!(contents(&folder, 0).await, closed);

    let later = sent.draw(PRODUCERS[0], 2);
    Producer::of(&folder, PRODUCERS[0])
        .send_after(BATCHES, &later)
        .await;
    assert_eq!(contents(&folder, 0).await, closed);
    for (zone, text) in close_all(&folder, 1).await {
        assert_eq!(text, sent.text(zone, 1));
    }
    mesh.kill().await.unwrap();
    let _last = start(false);
    assert_eq!(contents(&folder, 0).await, closed);
}

type Batch = Vec<wire::Outcome>;

/// Everything that producers send, and what that comes to.
struct Sent {
    random: StdRng,
    all: Vec<wire::Outcome>,
}

impl Sent {
    fn new() -> Self {
        Self {
            random: StdRng::seed_from_u64(16_900),
            all: Vec::new(),
        }
    }

    /// Batches of a producer, in no order; the hours about the ends of the month are among them.
    fn draw(&mut self, producer: &str, batches: usize) -> Vec<Batch> {
        let random = &mut self.random;
        let hours: Vec<i64> = (-3..723).chain([-1, 0, 718, 719, 720].repeat(20)).collect();
        let homes: Vec<Home> = (1..60).map(Home::new).collect();
        let classes = [MessageClass::Consumption, MessageClass::Prepayment];
        let pick = |number: usize, random: &mut StdRng| wire::Outcome {
            outcome_id: format!("{producer}-{number}"),
            party_id: [ALBION, BRIGHT].choose(random).unwrap().id.to_owned(),
            device_id: homes.choose(random).unwrap().esme().to_string(),
            service_reference_variant: ["4.8.1", "2.2", "99.1"].choose(random).unwrap().to_string(),
            message_class: i32::from(*classes.choose(random).unwrap()),
            request_time: Some(prost_types::Timestamp {
                seconds: JUNE + hours.choose(random).unwrap() * HOUR + 7,
                nanos: 0,
            }),
            result: *[1, 2, 3].choose(random).unwrap(),
            origin: *[1, 2, 3].choose(random).unwrap(),
        };
        let begun = self.all.len();
        let mut drawn: Vec<_> = (begun..begun + batches * OUTCOMES)
            .map(|number| pick(number, random))
            .collect();
        drawn.shuffle(random);
        self.all.extend(drawn.iter().cloned());
        drawn.chunks(OUTCOMES).map(<[_]>::to_vec).collect()
    }

    /// The text of June: nothing in it is excepted, as no meter was flagged.
    fn text(&self, zone: wire::MonthZone, restatement: u32) -> String {
        let (_, name, hours) = JUNES.into_iter().find(|(of, ..)| *of == zone).unwrap();
        let instants = JUNE + hours.start * HOUR..JUNE + hours.end * HOUR;
        let mut rows: BTreeMap<_, u64> = BTreeMap::new();
        for one in &self.all {
            if instants.contains(&one.request_time.unwrap().seconds) {
                let key = (
                    &*one.party_id,
                    &*one.service_reference_variant,
                    one.message_class,
                    one.origin,
                    one.result,
                );
                *rows.entry(key).or_default() += 1;
            }
        }
        let at = |seconds| jiff::Timestamp::from_second(seconds).unwrap();
        let version = BusinessProcesses::builtin().version();
        let mut text = format!(
            "mp169-edition 1\nmonth 2025-06 {name}\nfrom {}\nuntil {}\nrestatement {restatement}\n\
             business-processes {version}\nprocess 2.2 prepayment\nprocess 4.8.1 billing-reads\n\
             process 99.1 other\n",
            at(instants.start),
            at(instants.end)
        );
        for ((party, variant, class, origin, result), count) in rows {
            let class = if class == 1 {
                "CONSUMPTION"
            } else {
                "PREPAYMENT"
            };
            let origin =
                ["", "ON_DEMAND", "SCHEDULED", "FUTURE_DATED"][usize::try_from(origin).unwrap()];
            let result =
                ["", "SUCCEEDED", "FAILED", "SUPPRESSED"][usize::try_from(result).unwrap()];
            writeln!(
                text,
                "requests {party} {variant} {class} {origin} {result} {count} 0"
            )
            .unwrap();
        }
        writeln!(text, "devices 0 {}", Content::sha256("")).unwrap();
        text
    }
}

/// Where the mesh is now: a process listens elsewhere than the one before.
fn client(folder: &Folder, role: &str) -> ReportingServiceClient<MeshChannel> {
    Clients::of(folder, role).unwrap().reporting().unwrap()
}

/// Goes on behind the last batch that was kept, whatever happens to its streams.
struct Producer<'a> {
    folder: &'a Folder,
    name: &'a str,
}

impl<'a> Producer<'a> {
    const fn of(folder: &'a Folder, name: &'a str) -> Self {
        Self { folder, name }
    }

    async fn send(&self, batches: &[Batch]) {
        self.send_after(0, batches).await;
    }

    /// Sends batches, of which the first has the number after `before`.
    async fn send_after(&self, before: usize, batches: &[Batch]) {
        let mut kept = before;
        while kept < before + batches.len() {
            let numbered = batches.iter().zip(before + 1..).skip(kept - before);
            let requests: Vec<_> = numbered
                .map(|(outcomes, number)| self.request(number, outcomes.clone()))
                .collect();
            // However the stream ended: what was kept is what counts.
            drop(self.ask(requests).await);
            let answer = wait_until("an answer", async || {
                self.ask(vec![self.request(0, Vec::new())]).await
            });
            let last = answer.await.last_batch_number;
            kept = usize::try_from(last).unwrap().max(before);
        }
    }

    async fn ask(
        &self,
        requests: Vec<wire::RecordOutcomesRequest>,
    ) -> Result<wire::RecordOutcomesResponse, tonic::Status> {
        let mut client = client(self.folder, "dsp");
        let answer = client.record_outcomes(tokio_stream::iter(requests)).await;
        answer.map(tonic::Response::into_inner)
    }

    fn request(&self, number: usize, outcomes: Batch) -> wire::RecordOutcomesRequest {
        wire::RecordOutcomesRequest {
            producer: self.name.to_owned(),
            outcomes,
            batch_number: number as u64,
        }
    }
}

/// Waits until so many outcomes are recorded.
async fn recorded(folder: &Folder, enough: u64) {
    wait_until("more outcomes to be recorded", async || {
        let mut analyst = client(folder, "analyst");
        let request = wire::GetServiceRequestReportRequest {
            month: "2025-06".into(),
            page_size: 1,
            ..Default::default()
        };
        let answer = analyst.get_service_request_report(request).await;
        let basis = answer
            .map_err(|status| status.to_string())?
            .into_inner()
            .basis;
        match basis.unwrap().outcomes {
            outcomes if outcomes >= enough => Ok(()),
            outcomes => Err(format!("{outcomes} of {enough}")),
        }
    })
    .await;
}

/// Closes June of each zone, or restates it, and gives what it says.
async fn close_all(folder: &Folder, restatement: u32) -> Vec<(wire::MonthZone, String)> {
    for (zone, ..) in JUNES {
        wait_until("the month to be closed", async || {
            let mut operator = client(folder, "operator");
            let request = wire::CloseMonthRequest {
                month: "2025-06".into(),
                month_zone: zone.into(),
                restatement,
            };
            operator.close_month(request).await
        })
        .await;
    }
    contents(folder, restatement).await
}

async fn contents(folder: &Folder, restatement: u32) -> Vec<(wire::MonthZone, String)> {
    let mut all = Vec::new();
    for (zone, ..) in JUNES {
        let text = wait_until("the content", async || {
            let mut analyst = client(folder, "analyst");
            let request = wire::ExportEditionRequest {
                month: "2025-06".into(),
                month_zone: zone.into(),
                restatement: Some(restatement),
            };
            let mut parts = analyst.export_edition(request).await?.into_inner();
            let (mut text, mut edition) = (Vec::new(), None);
            while let Some(part) = parts.message().await? {
                text.extend(part.content);
                edition = edition.or(part.edition);
            }
            let text = String::from_utf8(text).unwrap();
            let sha256 = edition.unwrap().content_sha256;
            assert_eq!(sha256, Content::sha256(&text));
            Ok::<_, tonic::Status>(text)
        })
        .await;
        all.push((zone, text));
    }
    all
}
