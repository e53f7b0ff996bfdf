//! Is a request for a report well formed, and what does it ask for?

use std::str::FromStr;

use mesh_api::convert::FieldErrors;
use mesh_api::reporting::v1 as wire;
use mesh_types::PartyId;

use crate::store::FiguresQuery;

/// A page of the Service Request report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FiguresRequest {
    /// What the report is about.
    pub query: FiguresQuery,
    /// How many rows the page has at most.
    pub size: usize,
}

/// A page of the obligation report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObligationsRequest {
    /// Only this supplier.
    pub party: Option<PartyId>,
    /// How many rows the page has at most.
    pub size: usize,
}

/// Reads a request for a page of the Service Request report.
pub fn figures(
    request: &wire::GetServiceRequestReportRequest,
) -> Result<FiguresRequest, FieldErrors> {
    let mut errors = FieldErrors::default();
    let month = errors.parse("month", &request.month);
    let party = optional(&mut errors, "party_id", &request.party_id);
    let variant = &request.service_reference_variant;
    let variant = optional(&mut errors, "service_reference_variant", variant);
    let size = errors.page_size(request.page_size).map(usize::from);
    match (month, size) {
        (Some(month), Some(size)) if errors.is_empty() => Ok(FiguresRequest {
            query: FiguresQuery {
                month,
                party,
                variant,
            },
            size,
        }),
        _ => Err(errors),
    }
}

/// Reads a request for a page of the obligation report.
pub fn obligations(
    request: &wire::GetObligationReportRequest,
) -> Result<ObligationsRequest, FieldErrors> {
    let mut errors = FieldErrors::default();
    let party = optional(&mut errors, "party_id", &request.party_id);
    let size = errors.page_size(request.page_size).map(usize::from);
    match size {
        Some(size) if errors.is_empty() => Ok(ObligationsRequest { party, size }),
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
        let read = figures(&request).unwrap();
        assert_eq!(
            (read.query.party, read.query.variant, read.size),
            (None, None, 1_000)
        );
        let wrong = wire::GetServiceRequestReportRequest {
            month: String::new(),
            party_id: "acme".into(),
            service_reference_variant: "4".into(),
            page_size: -1,
            page_token: String::new(),
        };
        let errors = figures(&wrong).unwrap_err();
        let fields: Vec<&str> = errors
            .violations()
            .iter()
            .map(|(field, _)| &**field)
            .collect();
        let all = [
            "month",
            "party_id",
            "service_reference_variant",
            "page_size",
        ];
        assert_eq!(fields, all);
        let wrong = wire::GetObligationReportRequest {
            party_id: "x".into(),
            ..Default::default()
        };
        assert!(obligations(&wrong).is_err());
        let read = obligations(&wire::GetObligationReportRequest::default()).unwrap();
        assert_eq!((read.party, read.size), (None, 100));
    }
}
