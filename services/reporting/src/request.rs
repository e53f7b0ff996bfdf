//! Is a request for a report well formed, and what does it ask for?

use std::str::FromStr;

use mesh_api::convert::FieldErrors;
use mesh_api::reporting::v1 as wire;
use mesh_types::PartyId;

use crate::business_process::{BusinessProcesses, ProcessKey};
use crate::edition::{Choice, Layers};
use crate::grouping::{Dimension, Grouping};
use crate::period::{Period, Zone};
use crate::store::{Beginning, Chosen, ExceptedQuery, FiguresQuery, FlagsQuery};

/// A page of the Service Request report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiguresRequest {
    /// What the report is made of.
    pub query: FiguresQuery,
    /// Which figures of the month.
    pub edition: Choice,
    /// Only the variants of this business process.
    pub process: Option<ProcessKey>,
    /// What its rows are grouped by.
    pub grouping: Grouping,
    /// How many rows the page has at most.
    pub size: usize,
}

/// A page of the Devices with excepted requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptedRequest {
    /// What the list is about.
    pub query: ExceptedQuery,
    /// Which of the month's.
    pub edition: Choice,
    /// How many rows the page has at most.
    pub size: usize,
}

/// A page of the obligation report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObligationsRequest {
    /// The month at whose end meters are counted; now if there is none.
    pub period: Option<Period>,
    /// Only this supplier.
    pub party: Option<PartyId>,
    /// How many rows the page has at most.
    pub size: usize,
}

/// A page of the editions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditionsRequest {
    /// Only those of this month.
    pub period: Option<Period>,
    /// How many rows the page has at most.
    pub size: usize,
}

/// A page of the report of flags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagsRequest {
    /// What the report is about.
    pub query: FlagsQuery,
    /// How many rows the page has at most.
    pub size: usize,
}

impl FiguresRequest {
    /// The same of the figures that are chosen.
    #[must_use]
    pub fn of(mut self, chosen: &Chosen) -> Self {
        self.query.layers = chosen.layers.clone();
        self
    }
}

impl ExceptedRequest {
    /// The same of the figures that are chosen.
    #[must_use]
    pub fn of(mut self, chosen: &Chosen) -> Self {
        self.query.layers = chosen.layers.clone();
        self
    }
}

/// Reads a request for a page of the Service Request report.
pub fn figures(
    request: &wire::GetServiceRequestReportRequest,
    processes: &BusinessProcesses,
) -> Result<FiguresRequest, FieldErrors> {
    let mut errors = FieldErrors::default();
    let period = period(&mut errors, &request.month, request.month_zone);
    let party = optional(&mut errors, "party_id", &request.party_id);
    let variant = &request.service_reference_variant;
    let variant = optional(&mut errors, "service_reference_variant", variant);
    let process = optional(&mut errors, "business_process", &request.business_process);
    if process.as_ref().is_some_and(|key| !processes.has(key)) {
        errors.add("business_process", "is none that the table lists");
    }
    let edition = choice(&mut errors, request.edition.as_ref());
    let grouping = grouping(&mut errors, &request.group_by);
    let size = errors.page_size(request.page_size).map(usize::from);
    match (period, grouping, size) {
        (Some(period), Some(grouping), Some(size)) if errors.is_empty() => Ok(FiguresRequest {
            query: FiguresQuery {
                period,
                party,
                variant,
                layers: Layers::All,
            },
            edition,
            process,
            grouping,
            size,
        }),
        _ => Err(errors),
    }
}

/// Reads a request for a page of the Devices with excepted requests.
pub fn excepted(
    request: &wire::ListExceptedRequestsRequest,
) -> Result<ExceptedRequest, FieldErrors> {
    let mut errors = FieldErrors::default();
    let period = period(&mut errors, &request.month, request.month_zone);
    let party = optional(&mut errors, "party_id", &request.party_id);
    let edition = choice(&mut errors, request.edition.as_ref());
    let size = errors.page_size(request.page_size).map(usize::from);
    match (period, size) {
        (Some(period), Some(size)) if errors.is_empty() => Ok(ExceptedRequest {
            query: ExceptedQuery {
                period,
                party,
                delivered_only: request.delivered_only,
                layers: Layers::All,
            },
            edition,
            size,
        }),
        _ => Err(errors),
    }
}

/// Reads a request to close a month or to restate it.
pub fn closing(request: &wire::CloseMonthRequest) -> Result<Beginning, FieldErrors> {
    let mut errors = FieldErrors::default();
    match period(&mut errors, &request.month, request.month_zone) {
        Some(period) if errors.is_empty() => Ok(Beginning {
            period,
            restatement: request.restatement,
            by_operator: true,
        }),
        _ => Err(errors),
    }
}

/// Reads a request for a page of the editions.
pub fn editions(request: &wire::ListEditionsRequest) -> Result<EditionsRequest, FieldErrors> {
    let mut errors = FieldErrors::default();
    let period = if request.month.is_empty() {
        if request.month_zone != 0 {
            errors.add("month_zone", "is given without a month");
        }
        None
    } else {
        period(&mut errors, &request.month, request.month_zone)
    };
    match errors.page_size(request.page_size).map(usize::from) {
        Some(size) if errors.is_empty() => Ok(EditionsRequest { period, size }),
        _ => Err(errors),
    }
}

/// Reads which edition's content is asked for.
pub fn export(request: &wire::ExportEditionRequest) -> Result<(Period, Choice), FieldErrors> {
    let mut errors = FieldErrors::default();
    let choice = request
        .restatement
        .map_or(Choice::Latest, Choice::Restatement);
    match period(&mut errors, &request.month, request.month_zone) {
        Some(period) if errors.is_empty() => Ok((period, choice)),
        _ => Err(errors),
    }
}

fn choice(errors: &mut FieldErrors, choice: Option<&wire::EditionChoice>) -> Choice {
    use wire::edition_choice::Choice as Wire;

    match choice.and_then(|choice| choice.choice) {
        None => Choice::Latest,
        Some(Wire::Restatement(number)) => Choice::Restatement(number),
        Some(Wire::AddedBy(number)) => Choice::AddedBy(number),
        Some(Wire::Now(now)) => {
            if !now {
                errors.add("edition.now", "is false: leave the choice out");
            }
            Choice::Now
        }
    }
}

fn period(errors: &mut FieldErrors, month: &str, zone: i32) -> Option<Period> {
    let month = errors.parse("month", month);
    let zone = match wire::MonthZone::try_from(zone) {
        Ok(wire::MonthZone::Unspecified | wire::MonthZone::Utc) => Some(Zone::Utc),
        Ok(wire::MonthZone::EuropeLondon) => Some(Zone::London),
        Err(_) => {
            errors.add("month_zone", "is unknown");
            None
        }
    };
    Some(Period {
        month: month?,
        zone: zone?,
    })
}

fn grouping(errors: &mut FieldErrors, group_by: &[i32]) -> Option<Grouping> {
    let mut dimensions = Vec::new();
    for (at, &number) in group_by.iter().enumerate() {
        let dimension = match wire::Dimension::try_from(number) {
            Ok(wire::Dimension::Supplier) => Dimension::Supplier,
            Ok(wire::Dimension::ServiceRequestVariant) => Dimension::Variant,
            Ok(wire::Dimension::BusinessProcess) => Dimension::BusinessProcess,
            Ok(wire::Dimension::Unspecified) | Err(_) => {
                errors.add(format!("group_by[{at}]"), "is missing or unknown");
                continue;
            }
        };
        if dimensions.contains(&dimension) {
            errors.add(format!("group_by[{at}]"), "is there before");
        } else {
            dimensions.push(dimension);
        }
    }
    Grouping::of(dimensions)
}

/// Reads a request for a page of the obligation report.
pub fn obligations(
    request: &wire::GetObligationReportRequest,
) -> Result<ObligationsRequest, FieldErrors> {
    let mut errors = FieldErrors::default();
    let period = match (request.month.as_str(), request.month_zone()) {
        ("", wire::MonthZone::Unspecified) if request.month_zone == 0 => None,
        ("", _) => {
            errors.add("month_zone", "is of no month");
            None
        }
        (month, _) => period(&mut errors, month, request.month_zone),
    };
    let party = optional(&mut errors, "party_id", &request.party_id);
    let size = errors.page_size(request.page_size).map(usize::from);
    match size {
        Some(size) if errors.is_empty() => Ok(ObligationsRequest {
            period,
            party,
            size,
        }),
        _ => Err(errors),
    }
}

/// Reads a request for a page of the report of flags.
pub fn flags(request: &wire::GetFlagReportRequest) -> Result<FlagsRequest, FieldErrors> {
    let mut errors = FieldErrors::default();
    let period = period(&mut errors, &request.month, request.month_zone);
    let party = optional(&mut errors, "party_id", &request.party_id);
    let csp = optional(&mut errors, "csp_id", &request.csp_id);
    let size = errors.page_size(request.page_size).map(usize::from);
    match (period, size) {
        (Some(period), Some(size)) if errors.is_empty() => Ok(FlagsRequest {
            query: FlagsQuery { period, party, csp },
            size,
        }),
        _ => Err(errors),
    }
}

/// A filter that is left out if the text is empty.
fn optional<T>(errors: &mut FieldErrors, field: &str, text: &str) -> Option<T>
where
    T: FromStr,
    T::Err: ToString,
{
    if text.is_empty() {
        None
    } else {
        errors.parse(field, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_may_be_left_out_and_a_month_may_not() {
        let request = wire::GetServiceRequestReportRequest {
            month: "2026-11".into(),
            page_size: 5_000,
            ..Default::default()
        };
        let read = figures(&request, BusinessProcesses::builtin()).unwrap();
        assert_eq!(
            (read.query.party, read.query.variant, read.size),
            (None, None, 1_000)
        );
        assert_eq!((read.process, read.grouping), (None, Grouping::default()));
        let wrong = wire::GetServiceRequestReportRequest {
            month: String::new(),
            party_id: "acme".into(),
            service_reference_variant: "4".into(),
            page_size: -1,
            business_process: "Billing".into(),
            group_by: vec![4],
            ..Default::default()
        };
        let all = [
            "month",
            "party_id",
            "service_reference_variant",
            "business_process",
            "group_by[0]",
            "page_size",
        ];
        assert_eq!(wrong_fields(&wrong), all);
        let wrong = wire::GetObligationReportRequest {
            party_id: "x".into(),
            ..Default::default()
        };
        assert!(obligations(&wrong).is_err());
        let read = obligations(&wire::GetObligationReportRequest::default()).unwrap();
        assert_eq!((read.period, read.party, read.size), (None, None, 100));
        for (month, month_zone, zone) in [
            ("2026-11", 0, Some(Zone::Utc)),
            ("2026-11", 1, Some(Zone::Utc)),
            ("2026-11", 2, Some(Zone::London)),
            ("2026-11", 3, None),
            ("June", 0, None),
            ("", 1, None),
            ("", 2, None),
            ("", 3, None),
        ] {
            let asked = obligations(&wire::GetObligationReportRequest {
                month: month.into(),
                month_zone,
                ..Default::default()
            });
            let read = asked.ok().and_then(|asked| asked.period);
            assert_eq!(read.map(|period| period.zone), zone, "{month} {month_zone}");
        }
        let wrong = wire::ListExceptedRequestsRequest {
            party_id: "x".into(),
            ..Default::default()
        };
        assert_eq!(excepted(&wrong).unwrap_err().violations().len(), 2);
        let wrong = wire::GetFlagReportRequest {
            party_id: "x".into(),
            csp_id: "NORTH".into(),
            page_size: -1,
            month_zone: 7,
            ..Default::default()
        };
        assert_eq!(flags(&wrong).unwrap_err().violations().len(), 5);
        let asked = wire::GetFlagReportRequest {
            month: "2026-11".into(),
            csp_id: "4g".into(),
            ..Default::default()
        };
        let read = flags(&asked).unwrap();
        assert_eq!((read.query.csp, read.size), ("4g".parse().ok(), 100));
    }

    fn wrong_fields(request: &wire::GetServiceRequestReportRequest) -> Vec<String> {
        let errors = figures(request, BusinessProcesses::builtin()).unwrap_err();
        let fields = errors.violations().iter().map(|(field, _)| field.clone());
        fields.collect()
    }

    #[test]
    fn dimensions_are_taken_in_their_order_and_once() {
        let of = |group_by: &[i32]| wire::GetServiceRequestReportRequest {
            month: "2026-11".into(),
            group_by: group_by.to_vec(),
            ..Default::default()
        };
        for (group_by, expected) in [
            (vec![3], vec![Dimension::BusinessProcess]),
            (vec![1, 2], vec![Dimension::Supplier, Dimension::Variant]),
            (
                vec![3, 2, 1],
                vec![
                    Dimension::BusinessProcess,
                    Dimension::Variant,
                    Dimension::Supplier,
                ],
            ),
        ] {
            let read = figures(&of(&group_by), BusinessProcesses::builtin()).unwrap();
            assert_eq!(read.grouping.dimensions(), expected);
        }
        assert_eq!(wrong_fields(&of(&[1, 2, 1])), ["group_by[2]"]);
        assert_eq!(wrong_fields(&of(&[0])), ["group_by[0]"]);
        assert_eq!(
            wrong_fields(&of(&[-1, 3, 3])),
            ["group_by[0]", "group_by[2]"]
        );
    }

    #[test]
    fn a_business_process_is_one_of_the_table() {
        let of = |key: &str| wire::GetServiceRequestReportRequest {
            month: "2026-11".into(),
            business_process: key.into(),
            ..Default::default()
        };
        for key in ["billing-reads", "other"] {
            let read = figures(&of(key), BusinessProcesses::builtin()).unwrap();
            assert_eq!(read.process.unwrap().as_str(), key);
        }
        for key in ["billing", "BILLING-READS", " "] {
            assert_eq!(wrong_fields(&of(key)), ["business_process"], "{key}");
        }
    }
}
