//! What are the filters in a URL called?

pub(super) const MONTH: &str = "month";
pub(super) const ZONE: &str = "zone";
pub(super) const EDITION: &str = "edition";
pub(super) const BY: &str = "by";
pub(super) const SUPPLIER: &str = "supplier";
pub(super) const CSP: &str = "csp";
pub(super) const VARIANT: &str = "variant";
pub(super) const BUSINESS_PROCESS: &str = "business_process";
pub(super) const DELIVERED_ONLY: &str = "delivered_only";
pub(super) const FUEL: &str = "fuel";
pub(super) const PAGE: &str = "page";
pub(super) const OUTPUT: &str = "output";

/// The filter of a URL that a field of a request stands for.
pub(super) fn of(field: &str) -> &str {
    match field.split('[').next().unwrap_or_default() {
        "party_id" => SUPPLIER,
        "csp_id" => CSP,
        "service_reference_variant" => VARIANT,
        "group_by" => BY,
        "month_zone" => ZONE,
        "page_token" => PAGE,
        other => other,
    }
}
