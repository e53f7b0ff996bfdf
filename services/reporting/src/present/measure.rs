//! Which figures of Service Requests are shown, what do they mean, and how are they calculated?

use mesh_api::reporting::v1 as wire;
use mesh_sheet::{Cell, Column, Kind};

/// A figure of requests, and the column that shows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    pub(super) key: &'static str,
    title: &'static str,
    kind: Kind,
    meaning: &'static str,
    cell: fn(&wire::Counts) -> Cell,
}

impl Measure {
    pub(super) fn column(&self) -> Column {
        let column = Column::new(self.key, self.title, self.kind).meaning(self.meaning);
        match self.kind {
            Kind::Count => column.unit("requests"),
            _ => column,
        }
    }

    pub(super) fn cell(&self, counts: &wire::Counts) -> Cell {
        (self.cell)(counts)
    }
}

const fn counting(
    key: &'static str,
    title: &'static str,
    meaning: &'static str,
    cell: fn(&wire::Counts) -> Cell,
) -> Measure {
    Measure {
        key,
        title,
        kind: Kind::Count,
        meaning,
        cell,
    }
}

pub(super) const SENT: Measure = counting(
    "sent",
    "Sent",
    "All requests, suppressed ones included.",
    |counts| counts.sent.into(),
);
pub(super) const SUCCEEDED: Measure = counting(
    "succeeded",
    "Succeeded",
    "Delivered and answered.",
    |counts| counts.succeeded.into(),
);
pub(super) const FAILED: Measure =
    counting("failed", "Failed", "Failed.", |counts| counts.failed.into());
pub(super) const SUPPRESSED: Measure = counting(
    "suppressed",
    "Suppressed",
    "Stopped by the flag.",
    |counts| counts.suppressed.into(),
);
pub(super) const EXCEPTED: Measure = counting(
    "excepted",
    "Excepted",
    "Directly about consumption, of a Device that was flagged at the time of the request, however they ended.",
    |counts| counts.excepted.into(),
);
pub(super) const DELIVERED: Measure = counting(
    "excepted_but_delivered",
    "Excepted but delivered",
    "Excepted, and delivered all the same: each is a broken promise.",
    |counts| counts.excepted_but_delivered.into(),
);
pub(super) const COUNTED: Measure = counting(
    "counted",
    "Counted",
    "Sent, without those that are excepted.",
    |counts| counted(counts).into(),
);
pub(super) const COUNTED_SUCCEEDED: Measure = counting(
    "counted_succeeded",
    "Counted, succeeded",
    "Succeeded, without those that are excepted.",
    |counts| counted_succeeded(counts).into(),
);
pub(super) const COUNTED_MISSED: Measure = counting(
    "counted_missed",
    "Counted, not succeeded",
    "Failed or suppressed, without those that are excepted.",
    |counts| {
        counted(counts)
            .saturating_sub(counted_succeeded(counts))
            .into()
    },
);
pub(super) const RATE: Measure = Measure {
    key: "rate",
    title: "Rate",
    kind: Kind::Share,
    meaning: "Succeeded, of all that were sent.",
    cell: |counts| Cell::share(counts.succeeded, counts.sent),
};
pub(super) const RATE_WITH_EXCEPTIONS: Measure = Measure {
    key: "rate_with_exceptions",
    title: "Rate with exceptions",
    kind: Kind::Share,
    meaning: "Succeeded of those that count: what is excepted is left out of both.",
    cell: |counts| Cell::share(counted_succeeded(counts), counted(counts)),
};

/// What is left when the excepted requests are left out.
const fn counted(counts: &wire::Counts) -> u64 {
    counts.sent.saturating_sub(counts.excepted)
}

const fn counted_succeeded(counts: &wire::Counts) -> u64 {
    counts
        .succeeded
        .saturating_sub(counts.excepted_but_delivered)
}
