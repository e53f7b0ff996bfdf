//! How do messages become octets and back?
//!
//! As prost does it; but a request that cannot be decoded is refused as every other one that is
//! malformed, with a reason, where tonic would call it a failure of the server.

use std::marker::PhantomData;

use prost::{Message, Name};
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::{Code, Status};
use tonic_prost::{ProstDecoder, ProstEncoder};

use crate::common::v1::ErrorReason;
use crate::convert::FieldErrors;
use crate::status;

/// The codec of the generated clients and servers: sends `T`, receives `U`.
#[derive(Debug, Clone)]
pub struct Protobuf<T, U>(PhantomData<(T, U)>);

/// Decodes `U`.
#[derive(Debug, Clone)]
pub struct Reader<U>(ProstDecoder<U>);

impl<T, U> Default for Protobuf<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Protobuf<T, U>
where
    T: Message + Send + 'static,
    U: Message + Name + Default + Send + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = Reader<U>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> Reader<U> {
        Reader(ProstDecoder::default())
    }
}

impl<U: Message + Name + Default> Decoder for Reader<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, octets: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        self.0.decode(octets).map_err(|_| unreadable(U::NAME))
    }

    fn buffer_settings(&self) -> BufferSettings {
        self.0.buffer_settings()
    }
}

/// A request is the caller's, an answer the service's: the contracts name each message after which
/// of the two it is.
fn unreadable(message: &str) -> Status {
    if message.ends_with("Request") {
        let mut errors = FieldErrors::default();
        errors.add("request", format!("is no {message}"));
        status::invalid_fields(&errors)
    } else {
        let problem = format!("the answer is no {message}");
        status::refusal(Code::Internal, ErrorReason::Internal, problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::reason_of;

    #[test]
    fn what_cannot_be_decoded_is_the_fault_of_who_sent_it() {
        let request = unreadable(crate::flag_registry::v1::GetFlagRequest::NAME);
        let found = (request.code(), reason_of(&request));
        assert_eq!(
            found,
            (Code::InvalidArgument, Some(ErrorReason::FieldInvalid))
        );
        let answer = unreadable(crate::flag_registry::v1::GetFlagResponse::NAME);
        let found = (answer.code(), reason_of(&answer));
        assert_eq!(found, (Code::Internal, Some(ErrorReason::Internal)));
    }
}
