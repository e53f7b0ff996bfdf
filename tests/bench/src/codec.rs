//! How is one message sent many times without being copied, or encoded?

use std::marker::PhantomData;
use std::sync::Arc;

use bytes::{Buf as _, BufMut as _, Bytes};
use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic_prost::{ProstCodec, ProstDecoder};

/// prost's codec, but that what it sends is shared: `T` is encoded each time and cloned never.
#[derive(Debug)]
pub(crate) struct Shared<T, U>(PhantomData<(T, U)>);

/// Encodes a shared `T`.
#[derive(Debug)]
pub(crate) struct SharedEncoder<T>(PhantomData<T>);

impl<T, U> Default for Shared<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for Shared<T, U>
where
    T: Message + 'static,
    U: Message + Default + 'static,
{
    type Encode = Arc<T>;
    type Decode = U;
    type Encoder = SharedEncoder<T>;
    type Decoder = ProstDecoder<U>;

    fn encoder(&mut self) -> SharedEncoder<T> {
        SharedEncoder(PhantomData)
    }

    fn decoder(&mut self) -> ProstDecoder<U> {
        ProstCodec::<U, U>::default().decoder()
    }
}

impl<T: Message> Encoder for SharedEncoder<T> {
    type Item = Arc<T>;
    type Error = Status;

    fn encode(&mut self, message: Arc<T>, octets: &mut EncodeBuf<'_>) -> Result<(), Status> {
        message
            .encode(octets)
            .map_err(|error| Status::internal(error.to_string()))
    }
}

/// Sends a message that is encoded already, and passes over what is answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Encoded;

impl Codec for Encoded {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Encoded {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, octets: &mut EncodeBuf<'_>) -> Result<(), Status> {
        octets.put(message);
        Ok(())
    }
}

impl Decoder for Encoded {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, octets: &mut DecodeBuf<'_>) -> Result<Option<()>, Status> {
        octets.advance(octets.remaining());
        Ok(Some(()))
    }
}
