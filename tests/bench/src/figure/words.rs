//! What is a figure called, what does it count, and what is it compared with?

use std::fmt;

use clap::ValueEnum as _;

use super::Figure;

impl Figure {
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Classify => "decisions, 64 calls in flight",
            Self::ClassifyFirmware => "decisions on 15 MB of firmware for 50,000 Devices",
            Self::Stream => "decisions, 1,000 structured messages per request",
            Self::StreamRaw => "decisions, 100 DUIS and GBCS messages per request",
            Self::AddBatch | Self::AddBatchEtcd => "flags set by 1 caller, 1,000 in a batch",
            Self::Add | Self::AddBare | Self::AddPgbench | Self::AddEtcd => "flags set by 1 caller",
            Self::Add8 | Self::Add8Pgbench | Self::Add8Etcd => "flags set by 8 callers",
            Self::Add64 | Self::Add64Pgbench | Self::Add64Etcd => "flags set by 64 callers",
            Self::Deliver => "flags set until the CSP has them, from the call",
            Self::DeliverRecorded => "flags set until the CSP has them, ms from their record",
            Self::Import => "rows of inventory, ms for a stream of them",
            Self::Outcomes => "outcomes in numbered requests of 1,000, 4 streams",
            Self::ChangeSupplier => "changes of supplier, nobody writes",
            Self::ChangeSupplierWritten => {
                "changes of supplier while the losing one writes, 8 at a time"
            }
            Self::Recorded => "reads with a record of each, 64 calls in flight",
            Self::RecordedPast => {
                "reads of the past, on record before the answer, 64 calls in flight"
            }
            Self::Beside50 => "reads of a quiet supplier beside 50 open batches of another",
            Self::Beside700 => "reads of a quiet supplier beside 700 open batches of another",
            Self::Foreign | Self::ForeignBesideOwn => "reads of another's Device, refused",
            Self::ForeignBatch => "batches of 1,000 of another's Devices, refused",
            Self::Door => "first answers beside 300 silent connections a second",
            Self::DoorFlood => "first answers beside silent connections at full speed",
            Self::DoorHellos => "first answers beside ClientHellos at full speed",
        }
    }

    pub(super) const fn baseline(self) -> &'static str {
        match self {
            Self::Classify | Self::ClassifyFirmware => "a bare tonic server over mTLS",
            Self::Stream | Self::StreamRaw => "bare tonic streams over mTLS",
            Self::Add | Self::ChangeSupplier => "rows of the mesh's engine, 1 per commit",
            Self::AddBare => "two bare calls over mTLS and a commit of the mesh's engine",
            Self::Add8 => "rows of the mesh's engine, 8 per commit",
            Self::Add64 => "rows of the mesh's engine, 64 per commit",
            Self::AddBatch => "rows of the mesh's engine, 1,000 per commit",
            Self::AddPgbench => "rows of PostgreSQL, 1 per commit, 1 client of pgbench",
            Self::Add8Pgbench => "rows of PostgreSQL, 1 per commit, 8 clients of pgbench",
            Self::Add64Pgbench => "rows of PostgreSQL, 1 per commit, 64 clients of pgbench",
            Self::AddEtcd => "puts of etcd by 1 caller",
            Self::Add8Etcd => "puts of etcd by 8 callers",
            Self::Add64Etcd | Self::AddBatchEtcd => "puts of etcd by 64 callers",
            Self::Deliver | Self::DeliverRecorded => {
                "puts of etcd until a watcher has them, from the call"
            }
            Self::Import | Self::Outcomes => "rows copied into a table of PostgreSQL",
            Self::ChangeSupplierWritten => "the same while nobody writes",
            Self::Recorded | Self::RecordedPast => "the same without any record",
            Self::Beside50 | Self::Beside700 => "the same supplier alone",
            Self::Foreign | Self::ForeignBatch => "of Devices that do not exist",
            Self::ForeignBesideOwn => "of one's own Devices, answered",
            Self::Door | Self::DoorFlood | Self::DoorHellos => "the same new clients alone",
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
