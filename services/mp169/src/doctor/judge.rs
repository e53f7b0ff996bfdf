//! Is what was learnt of a mesh as it should be? Here nothing is asked, so that every kind of trouble can
//! be shown in a table of cases.

mod certificates;
mod clocks;
mod logs;
#[cfg(test)]
mod tests;

use std::io::ErrorKind;

use mesh_api::operations::v1::{DatabaseCondition, DatabaseStatus};
use mesh_rpc::LookError;
use tonic::Code;

use super::finding::{Check, Finding, Grade};
use super::remedy::{self, Remedy};
use crate::home::is_apart;
use crate::learnt::{Instance, Learnt};
use crate::log::followers::tells_of_misfit;
use crate::output::{instant, short};
use crate::refusal::refusal;
use crate::service::Service;

/// Everything that was looked at, the worst last, and of what is as bad the cause after what follows from it:
/// people read the end.
pub(crate) fn judge(learnt: &Learnt) -> Vec<Finding> {
    let mut findings = certificates::judge(learnt);
    for instance in &learnt.instances {
        findings.extend(answer(instance));
        findings.extend(health(instance));
        findings.extend(databases(instance));
    }
    findings.extend(clocks::judge(learnt));
    findings.extend(logs::judge(learnt));
    findings.extend(deny_list(learnt));
    findings.extend(versions(learnt));
    findings.sort_by_key(|finding| (finding.grade, depth(finding)));
    findings
}

/// How much else may follow from it: from a database server that is away all the services' health, from a
/// service that does not answer what its followers lack.
fn depth(finding: &Finding) -> u8 {
    match finding.check {
        Check::Follower | Check::Freshness | Check::Csp => 0,
        Check::Certificate if finding.remedy == Some(remedy::NOT_ACCEPTED) => 3,
        Check::Answer => 2,
        Check::Database => 4,
        _ => 1,
    }
}

/// Who does not answer. Of who does, health tells.
fn answer(instance: &Instance) -> Option<Finding> {
    let Err(status) = &instance.told else {
        return None;
    };
    let remedy = match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => remedy::ANOTHER_IDENTITY,
        Code::DeadlineExceeded => remedy::IMPATIENT,
        _ => remedy::LOOK,
    };
    let (says, remedy) = match &instance.certificate {
        // Somebody took the connection, or swallowed it.
        Err(LookError::Unreachable(error)) if error.kind() == ErrorKind::TimedOut => {
            (format!("does not answer: {error}"), remedy)
        }
        Err(LookError::Unreachable(error)) => {
            let says = "does not answer: it does not run, or its name is not known";
            (format!("{says} ({error})"), start(instance))
        }
        _ => {
            let says = format!("does not answer: {}, {}", refusal(status), status.message());
            (says, remedy)
        }
    };
    let name = instance.name();
    Some(Check::Answer.bad(Grade::Wrong, name, says, remedy))
}

/// How a service is started that does not run.
fn start(instance: &Instance) -> Remedy {
    if is_apart(&instance.address) {
        remedy::START_APART
    } else {
        remedy::START
    }
}

fn health(instance: &Instance) -> Option<Finding> {
    let status = &instance.told.as_ref().ok()?.status;
    let since = instant(status.health_since_time.as_ref());
    let reason = &*status.not_serving_reason;
    if reason.is_empty() {
        return Some(Check::Health.ok(instance.name(), format!("serves since {since}")));
    }
    let grade = if tells_of_misfit(reason) {
        Grade::Contradiction
    } else {
        Grade::Wrong
    };
    let says = format!("does not serve since {since}: {reason}");
    Some(Check::Health.bad(grade, instance.name(), says, remedy::by_reason(reason)))
}

fn databases(instance: &Instance) -> Vec<Finding> {
    let Ok(told) = &instance.told else {
        return Vec::new();
    };
    let name = instance.name();
    let audit = database(
        &format!("audit of {name}"),
        told.status.audit_database.as_ref(),
    );
    // classification keeps what it needs in memory.
    let own = (instance.service != Service::Classification)
        .then(|| database(&name, told.status.database.as_ref()));
    own.into_iter().chain([audit]).collect()
}

fn database(subject: &str, database: Option<&DatabaseStatus>) -> Finding {
    let Some(database) = database else {
        let says = "cannot be read";
        return Check::Database.bad(
            Grade::Wrong,
            subject,
            says,
            remedy::by_reason("database-away"),
        );
    };
    let condition = database.condition();
    let reason = match condition {
        DatabaseCondition::Sound => None,
        DatabaseCondition::FileGone => Some("file-gone"),
        DatabaseCondition::Damaged => Some("damaged"),
        DatabaseCondition::LogWentBack => Some("log-went-back"),
        DatabaseCondition::CannotWrite => Some("cannot-write"),
        DatabaseCondition::Unspecified => Some(""),
    };
    if let Some(reason) = reason {
        let grade = if tells_of_misfit(reason) {
            Grade::Contradiction
        } else {
            Grade::Wrong
        };
        let says = short(condition.as_str_name(), "DATABASE_CONDITION_");
        return Check::Database.bad(grade, subject, says, remedy::by_reason(reason));
    }
    match &database.schema {
        None => Check::Database.ok(subject, "sound"),
        Some(schema) if schema.fits => {
            let says = format!("sound, schema {} as the program knows it", schema.applied);
            Check::Database.ok(subject, says)
        }
        Some(schema) => {
            let says = format!(
                "its schema {} is not the one of the program, {}",
                schema.applied, schema.known
            );
            Check::Database.bad(Grade::Wrong, subject, says, remedy::MIGRATE)
        }
    }
}

/// Whether all go by one deny-list, and that is the one in the folder.
fn deny_list(learnt: &Learnt) -> Vec<Finding> {
    let told = learnt.told().filter_map(|(instance, told)| {
        let list = told.status.deny_list.as_ref()?;
        Some((instance, list))
    });
    let told: Vec<_> = told.collect();
    let Some((_, first)) = told.first() else {
        return Vec::new();
    };
    let expected = learnt.denied.as_ref().unwrap_or(&first.sha256);
    let others = told.iter().filter(|(_, list)| list.sha256 != *expected);
    let others: Vec<_> = others.map(|(instance, _)| instance.name()).collect();
    if others.is_empty() {
        let says = format!("the same everywhere, {} entries", first.entries);
        return vec![Check::DenyList.ok("all services", says)];
    }
    let than = match learnt.denied {
        Some(_) => "the folder",
        None => first_name(&told),
    };
    let says = format!("goes by another deny-list than {than}");
    let findings = others
        .into_iter()
        .map(|name| Check::DenyList.bad(Grade::Warning, name, &*says, remedy::SAME_DENY_LIST));
    findings.collect()
}

fn first_name<T>(told: &[(&Instance, T)]) -> &'static str {
    told.first()
        .map_or("others", |(instance, _)| instance.service.name())
}

/// Whether all services are of one version, and this program is of it too.
fn versions(learnt: &Learnt) -> Vec<Finding> {
    const OWN: &str = env!("CARGO_PKG_VERSION");
    let told = learnt.told().filter_map(|(instance, told)| {
        let version = &*told.status.version;
        (!version.is_empty()).then(|| (instance.name(), version))
    });
    let (same, others): (Vec<_>, Vec<_>) = told.partition(|(_, version)| *version == OWN);
    if others.is_empty() {
        let says = format!("{OWN}, as this program");
        return (!same.is_empty())
            .then(|| Check::Version.ok("all services", says))
            .into_iter()
            .collect();
    }
    let findings = others.into_iter().map(|(name, version)| {
        let says = format!("is {version}, this program is {OWN}");
        Check::Version.bad(Grade::Warning, name, says, remedy::SAME_VERSION)
    });
    findings.collect()
}
