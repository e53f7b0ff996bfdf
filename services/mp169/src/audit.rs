//! `mp169 audit`: who did and read what?

use anyhow::Result;
use mesh_api::audit::v1 as wire;
use mesh_api::audit::v1::audit_record::Record;
use mesh_api::common::v1::Actor;
use mesh_authz::InternalRole;
use mesh_rpc::code_name;
use tonic::Code;

use crate::cli::audit::{AuditCommand, ListArgs, asked};
use crate::cli::connection::Output;
use crate::log;
use crate::output::{instant, print_json, print_line, print_table, short};
use crate::session::Session;

/// Records that are asked for at a time, at most.
const PAGE: u32 = 1_000;

/// Carries out a command.
pub(crate) async fn run(command: AuditCommand) -> Result<()> {
    match command {
        AuditCommand::List(args) => list(*args).await,
        AuditCommand::Verify(args) => log::verify(args.into_verify()).await,
        AuditCommand::Export(args) => log::export(args.into_export()).await,
    }
}

async fn list(args: ListArgs) -> Result<()> {
    let session = Session::open(&args.connection, Some(InternalRole::Auditor))?;
    let mut records = Vec::new();
    for service in asked(&args.services) {
        let mut client = session.clients.audit(service)?;
        let mut left = args.limit.most.unwrap_or(u32::MAX);
        let mut request = wire::ListAuditRecordsRequest {
            from_time: args.from,
            until_time: args.until,
            caller: args.caller.clone().unwrap_or_default(),
            rpc: args.rpc.clone().unwrap_or_default(),
            refused_only: args.refused,
            answer: args.answer.clone().unwrap_or_default(),
            device_id: args
                .device
                .map(|device| device.to_string())
                .unwrap_or_default(),
            ..wire::ListAuditRecordsRequest::default()
        };
        while left > 0 {
            request.page_size = i32::try_from(left.min(PAGE)).unwrap_or_default();
            let page = client
                .list_audit_records(request.clone())
                .await?
                .into_inner();
            left = left.saturating_sub(u32::try_from(page.records.len()).unwrap_or(left));
            for record in page.records {
                match args.connection.output {
                    Output::Json => print_json(&record)?,
                    Output::Table => records.push(row(record)),
                }
            }
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
    }
    match args.connection.output {
        Output::Json => Ok(()),
        Output::Table if records.is_empty() => print_line(&"Nothing on record matches."),
        Output::Table => print_table(
            &[
                "log", "event", "time", "caller", "RPC", "answer", "Devices", "more",
            ],
            records,
        ),
    }
}

fn row(listed: wire::ListedRecord) -> Vec<String> {
    let position = listed.position.unwrap_or_default();
    let record = listed.record.and_then(|record| record.record);
    let mut row = vec![position.log, position.sequence.to_string()];
    row.extend(match record {
        Some(Record::Call(call)) => of_call(&call),
        Some(Record::Count(count)) => of_count(&count),
        Some(Record::Service(service)) => of_service(&service),
        None => std::array::from_fn(|_| String::new()),
    });
    row
}

fn of_call(call: &wire::CallRecord) -> [String; 6] {
    let more = match (call.part(), &call.position) {
        (wire::CallPart::StreamStarted, _) => "stream started".to_owned(),
        (wire::CallPart::StreamEnded, _) => {
            format!("stream ended, {} messages", call.messages_sent)
        }
        (_, Some(position)) => {
            let position = format!("{}/{}", position.log, position.sequence);
            match call.rows {
                Some(rows) => format!("{position}, {}", became(rows)),
                None => position,
            }
        }
        (_, None) => String::new(),
    };
    [
        instant(call.time.as_ref()),
        caller(call.caller.as_ref()),
        method(&call.rpc),
        answer(call.code, call.reason().as_str_name()),
        call.device_pseudonyms.len().to_string(),
        more,
    ]
}

fn became(rows: wire::RowCounts) -> String {
    let wire::RowCounts {
        recorded,
        unchanged,
        refused,
    } = rows;
    format!("{recorded} rows recorded, {unchanged} unchanged, {refused} refused")
}

fn of_count(count: &wire::CallCount) -> [String; 6] {
    [
        instant(count.from_time.as_ref()),
        caller(count.caller.as_ref()),
        method(&count.rpc),
        answer(count.code, count.reason().as_str_name()),
        String::new(),
        match count.messages_sent {
            0 => format!("{} calls", count.calls),
            messages => format!("{} calls, {messages} messages", count.calls),
        },
    ]
}

fn of_service(service: &wire::ServiceRecord) -> [String; 6] {
    [
        instant(service.time.as_ref()),
        String::new(),
        String::new(),
        short(service.change().as_str_name(), "SERVICE_CHANGE_").to_owned(),
        String::new(),
        service.detail.clone(),
    ]
}

fn caller(caller: Option<&Actor>) -> String {
    let Some(caller) = caller else {
        return "–".to_owned();
    };
    let names = [&caller.internal_role, &caller.party_id, &caller.entity_id];
    let name = names.into_iter().find(|name| !name.is_empty());
    let name = name.cloned().unwrap_or_default();
    match caller.gateway_entity_id.as_str() {
        "" => name,
        gateway => format!("{name} by {gateway}"),
    }
}

fn method(rpc: &str) -> String {
    rpc.rsplit('/').next().unwrap_or_default().to_owned()
}

fn answer(code: i32, reason: &'static str) -> String {
    match short(reason, "ERROR_REASON_") {
        "UNSPECIFIED" => code_name(Code::from(code)).to_owned(),
        reason => reason.to_owned(),
    }
}
