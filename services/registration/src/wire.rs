//! How are the contract's messages read into domain values, once, and written back?
//!
//! Every field that is wrong is noted under its path, so that the caller learns of all of them at
//! once. Numbers of enums are the same on the wire and in the database.

mod device;
mod party;
mod registration;
mod row;

use std::str::FromStr;

use mesh_api::convert::{FieldErrors, timestamp_from_wire};
use mesh_types::{Bounds, DeviceId, RequestId, Timestamp};

use crate::problem::Problem;

pub(crate) use device::{device_to_wire, read_device};
pub(crate) use party::{
    party_from_record, party_to_record, party_to_wire, read_party, read_status,
};
pub(crate) use registration::{read_registration, registration_to_wire};
pub use row::refusal_of_row;
pub(crate) use row::{Loadable, read_row};

/// An enum of the domain whose variants have the numbers of an enum of the contracts.
pub(crate) trait Numbered: Sized {
    /// The contract's number.
    fn number(self) -> i32;
    /// The variant with this number; `None` for "unspecified" and for numbers that are not known.
    fn numbered(number: i32) -> Option<Self>;
}

macro_rules! numbered {
    ($domain:ty as $wire:ty { $($variant:ident),* $(,)? }) => {
        impl $crate::wire::Numbered for $domain {
            fn number(self) -> i32 {
                match self {
                    $(Self::$variant => i32::from(<$wire>::$variant),)*
                }
            }

            fn numbered(number: i32) -> Option<Self> {
                match <$wire>::try_from(number).ok()? {
                    $(<$wire>::$variant => Some(Self::$variant),)*
                    <$wire>::Unspecified => None,
                }
            }
        }
    };
}
use numbered;

/// Notes what is wrong with the fields of one message.
pub(crate) struct Fields<'a> {
    /// The message's path and a dot, or nothing.
    path: String,
    errors: &'a mut FieldErrors,
}

impl<'a> Fields<'a> {
    /// The fields of the request itself.
    pub(crate) fn of_request(errors: &'a mut FieldErrors) -> Self {
        Self {
            path: String::new(),
            errors,
        }
    }

    /// The fields of the message that the request has in `field`.
    pub(crate) fn of(field: &str, errors: &'a mut FieldErrors) -> Self {
        Self {
            path: format!("{field}."),
            errors,
        }
    }

    /// Whether nothing is wrong so far, in this message or another of the request.
    #[must_use]
    pub(crate) fn is_sound(&self) -> bool {
        self.errors.is_empty()
    }

    /// Notes what is wrong with `field`.
    pub(crate) fn add(&mut self, field: &str, text: &str) {
        self.errors.add(format!("{}{field}", self.path), text);
    }

    /// Notes what is wrong with the record as a whole.
    pub(crate) fn add_all(&mut self, problems: impl IntoIterator<Item = Problem>) {
        for problem in problems {
            self.add(problem.field, problem.text);
        }
    }

    /// The value, or `None` after noting what is wrong.
    pub(crate) fn keep<T, E: ToString>(&mut self, field: &str, value: Result<T, E>) -> Option<T> {
        value
            .map_err(|error| self.add(field, &error.to_string()))
            .ok()
    }

    /// A text that must be there.
    pub(crate) fn required<T>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T: FromStr<Err: ToString>,
    {
        if text.is_empty() {
            self.add(field, "is missing");
            return None;
        }
        self.keep(field, text.parse())
    }

    /// A text that may be empty.
    pub(crate) fn optional<T>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T: FromStr<Err: ToString>,
    {
        if text.is_empty() {
            None
        } else {
            self.keep(field, text.parse())
        }
    }

    /// The name of a Device that is to be recorded, or that a record names.
    pub(crate) fn device(&mut self, field: &str, text: &str) -> Option<DeviceId> {
        if text.is_empty() {
            return None;
        }
        self.keep(field, DeviceId::of_one(text))
    }

    /// A number of an enum that must be one of the known.
    pub(crate) fn number<T: Numbered>(&mut self, field: &str, number: i32) -> Option<T> {
        let value = T::numbered(number);
        if value.is_none() {
            self.add(field, "is missing or not a known value");
        }
        value
    }

    /// An instant that may be absent.
    pub(crate) fn instant(
        &mut self,
        field: &str,
        at: Option<&prost_types::Timestamp>,
    ) -> Option<Timestamp> {
        self.keep(field, timestamp_from_wire(at?))
    }

    /// An instant that may be absent, and that lies within `bounds` at `now`.
    pub(crate) fn instant_within(
        &mut self,
        field: &str,
        at: Option<&prost_types::Timestamp>,
        bounds: Bounds,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let at = self.instant(field, at)?;
        self.keep(field, bounds.check(at, now))
    }

    /// The caller's id of the request, in its one form.
    pub(crate) fn request_id(&mut self, text: &str) -> Option<String> {
        let id: Option<RequestId> = self.keep("request_id", text.parse());
        id.map(|id| id.to_string())
    }

    /// The etag that the caller expects: of no record `0`, otherwise the position that made it.
    pub(crate) fn etag(&mut self, text: &str) -> Option<u64> {
        if text.is_empty() {
            return None;
        }
        let etag = text.parse().map_err(|_| "is not an etag of this service");
        self.keep("etag", etag)
    }
}
