//! Messages of the project's own, for demonstrations, tests and benches.
//!
//! They are written from the layout of the formats. Their numbers, signatures and MACs mean nothing,
//! and nothing checks them.

mod duis;
mod gbcs;

pub use self::duis::{
    duis_dcc_alert, duis_device_alert, duis_device_list, duis_firmware, duis_receipt, duis_request,
    duis_response, duis_return_local, duis_schedule, duis_signed_precommand,
};
pub use self::gbcs::{AlertEncoding, Gbcs, gbcs_alert, gbcs_command, gbcs_response};
