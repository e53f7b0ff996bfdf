//! Has every Service Request Variant that classification knows a business process in reporting's table?

use std::collections::BTreeSet;

use classification::policy::Policy;
use reporting::business_process::BusinessProcesses;

/// The two services do not know each other's tables; a row that is added to one of them is missed here.
#[test]
fn every_variant_of_the_policy_has_a_business_process() {
    let policy = Policy::builtin();
    let of_policy = policy.service_requests().iter();
    let of_policy: BTreeSet<String> = of_policy.map(|row| row.srv.to_string()).collect();
    let table = BusinessProcesses::builtin();
    let of_table = table.variants().into_keys();
    let of_table: BTreeSet<String> = of_table
        .map(|variant| variant.as_str().to_owned())
        .collect();
    assert!(of_policy.len() > 100, "{of_policy:?}");
    let missing: Vec<_> = of_policy.difference(&of_table).collect();
    assert!(missing.is_empty(), "without a process: {missing:?}");
    let unknown: Vec<_> = of_table.difference(&of_policy).collect();
    assert!(unknown.is_empty(), "not in the policy: {unknown:?}");
}
