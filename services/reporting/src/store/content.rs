//! What is an edition made of?

use std::collections::BTreeMap;

use mesh_store::StoreError;
use mesh_store::sql::{Conn, query_as};

use super::figures::{bounds, parts};
use super::{ExceptedQuery, count, editions, excepted};
use crate::business_process::ProcessKey;
use crate::edition::{Content, ContentRow, Digest, Edition};
use crate::outcome::Variant;

const PARTS: &str = "outcome_part";
/// How many rows of the list of Devices are read at a time.
const DEVICES: usize = 5_000;

/// Supplier, variant, class, origin, result; how many, and how many of these are excepted.
type Row = (String, String, i64, i64, i64, i64, i64);

/// The content of an edition, which is the same whenever it is read. `process_of` says to which business process
/// a variant belongs; the versions are those of the rules and of the table of business processes.
pub(super) async fn read(
    conn: &mut Conn,
    edition: &Edition,
    (rules, business_processes): (&str, &str),
    process_of: impl Fn(&Variant) -> Option<ProcessKey>,
) -> Result<Content, StoreError> {
    let requests = requests(conn, edition).await?;
    let variants = requests.keys().map(|row| &row.variant);
    let processes = variants.filter_map(|one| Some((one.clone(), process_of(one)?)));
    Ok(Content {
        period: edition.period,
        restatement: edition.restatement,
        rules: rules.to_owned(),
        business_processes: business_processes.to_owned(),
        processes: processes.collect(),
        requests,
        devices: devices(conn, edition).await?,
    })
}

/// The text of an edition that is made, by the business processes of its time.
pub(super) async fn text_of(conn: &mut Conn, edition: &Edition) -> Result<String, StoreError> {
    let processes = editions::processes(conn, edition.number).await?;
    let versions = (&*edition.sealed.rules, &*edition.sealed.business_processes);
    let process_of = |variant: &Variant| processes.get(variant).cloned();
    let content = read(conn, edition, versions, process_of).await?;
    Ok(content.text())
}

async fn requests(
    conn: &mut Conn,
    edition: &Edition,
) -> Result<BTreeMap<ContentRow, (u64, u64)>, StoreError> {
    let [first, second, third] = parts(edition.period);
    let (from, until) = bounds(&edition.layers());
    let rows: Vec<Row> = query_as(
        "SELECT k.party_id, k.variant, k.message_class, k.origin, k.result, \
            CAST(SUM(p.outcomes) AS BIGINT), CAST(SUM(p.excepted) AS BIGINT) \
         FROM outcome_part p JOIN outcome_kind k ON k.kind = p.kind \
         WHERE p.part IN ($1, $2, $3) AND p.layer >= $4 AND p.layer < $5 \
         GROUP BY k.party_id, k.variant, k.message_class, k.origin, k.result",
    )
    .bind(first)
    .bind(second)
    .bind(third)
    .bind(from)
    .bind(until)
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(counted).collect()
}

fn counted(row: Row) -> Result<(ContentRow, (u64, u64)), StoreError> {
    let (party, variant, class, origin, result, outcomes, excepted) = row;
    let malformed = || StoreError::inconsistent("outcome_kind", "a kind is malformed");
    let number = |number: i64| i32::try_from(number).map_err(|_| malformed());
    let row = ContentRow {
        party: party.parse().map_err(|_| malformed())?,
        variant: variant.parse().map_err(|_| malformed())?,
        class: number(class)?,
        origin: number(origin)?.try_into().map_err(|_| malformed())?,
        ending: number(result)?.try_into().map_err(|_| malformed())?,
    };
    Ok((row, (count(PARTS, outcomes)?, count(PARTS, excepted)?)))
}

async fn devices(conn: &mut Conn, edition: &Edition) -> Result<Digest, StoreError> {
    let query = ExceptedQuery {
        period: edition.period,
        party: None,
        delivered_only: false,
        layers: edition.layers(),
    };
    let mut digest = Digest::default();
    let mut after = None;
    loop {
        let (rows, more) = excepted::rows(conn, &query, after.as_ref(), DEVICES).await?;
        for (key, excepted) in &rows {
            digest.add(key, *excepted);
        }
        if !more {
            return Ok(digest);
        }
        after = rows.into_iter().last().map(|(key, _)| key);
    }
}
