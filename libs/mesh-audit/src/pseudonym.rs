//! How does a record name a Device without naming it?
//!
//! By a keyed hash: whoever has the database can ask whether a Device is in it, whoever has a record
//! alone cannot tell which Device it is about. Without the key, trying all EUI-64 of a maker's block would
//! take seconds. The span of a call has the same pseudonyms as its record.

use hmac::{Hmac, KeyInit as _, Mac as _};
use mesh_store::StoreError;
use mesh_store::sql::{Conn, query, query_scalar};
use mesh_types::DeviceId;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::{Array, StringValue, Value};
use sha2::Sha256;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Makes the pseudonyms of one database.
#[derive(Clone)]
pub(crate) struct Pseudonyms(Hmac<Sha256>);

impl std::fmt::Debug for Pseudonyms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pseudonyms(..)")
    }
}

impl Pseudonyms {
    /// The attribute of a span: a list of pseudonyms in hexadecimal digits.
    const ATTRIBUTE: &str = "mp169.device.pseudonyms";
    /// A call about more Devices than this is found by its record.
    const OF_A_SPAN: usize = 16;
    /// Octets of a pseudonym: far too many for two Devices to share one by chance.
    const OCTETS: usize = 16;

    /// Takes the database's secret, making it if there is none yet.
    pub(crate) async fn load(conn: &mut Conn) -> Result<Self, StoreError> {
        let fresh: [u8; 32] = rand::random();
        query("INSERT INTO audit_secret (id, secret) VALUES (1, $1) ON CONFLICT (id) DO NOTHING")
            .bind(fresh.as_slice())
            .execute(&mut *conn)
            .await?;
        Self::read(conn).await
    }

    /// Takes the secret that is there.
    pub(crate) async fn read(conn: &mut Conn) -> Result<Self, StoreError> {
        let secret: Vec<u8> = query_scalar("SELECT secret FROM audit_secret WHERE id = 1")
            .fetch_one(conn)
            .await?;
        Ok(Self::new(&secret))
    }

    fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes a key of any length"))
    }

    /// Says on the current span, if it is kept, which Devices its call is about.
    pub(crate) fn mark(&self, devices: &[DeviceId]) {
        let span = Span::current();
        if devices.is_empty() || !span.context().span().span_context().is_sampled() {
            return;
        }
        let named = devices.iter().take(Self::OF_A_SPAN);
        let named = named.map(|device| StringValue::from(hex::encode(self.of(*device))));
        let named = Value::Array(Array::String(named.collect()));
        span.set_attribute(Self::ATTRIBUTE, named);
    }

    /// The pseudonym of a Device.
    pub(crate) fn of(&self, device: DeviceId) -> Vec<u8> {
        let mut mac = self.0.clone();
        mac.update(&device.eui64().octets());
        let mut octets = mac.finalize().into_bytes().to_vec();
        octets.truncate(Self::OCTETS);
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_one_pseudonym_in_a_database_and_another_elsewhere() {
        let (one, other) = (Pseudonyms::new(&[1; 32]), Pseudonyms::new(&[2; 32]));
        let device: DeviceId = "00-DB-12-34-56-78-90-A0".parse().unwrap();
        let next: DeviceId = "00-DB-12-34-56-78-90-A1".parse().unwrap();
        assert_eq!(one.of(device), one.of(device));
        assert_eq!(one.of(device).len(), 16);
        assert_ne!(one.of(device), one.of(next));
        assert_ne!(one.of(device), other.of(device));
    }
}
