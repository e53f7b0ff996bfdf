//! Who may ask for a page, and how?
//!
//! All of it is judged from the head of a request; no body is ever read.

use std::net::IpAddr;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method};
use mesh_rpc::Peer;

use super::refusal::Refusal;

/// The peer that asks, if it may ask for any page at all. `here`: everybody on this machine is let in, and
/// nobody else.
pub(super) fn judge(head: &Parts, here: bool) -> Result<Peer, Refusal> {
    // A site elsewhere can give its own name the address of this machine; then the browser would show it the page.
    if here && !hosts(head).all(|host| host.is_some_and(is_loopback)) {
        return Err(Refusal::other_host());
    }
    let peer = head.extensions.get::<Peer>();
    let peer = peer.ok_or_else(Refusal::no_certificate)?;
    match peer.identity() {
        Some(Ok(_)) => {}
        Some(Err(error)) => return Err(Refusal::certificate(&error)),
        None => return Err(Refusal::no_certificate()),
    }
    if is_for_another_site(&head.headers) {
        return Err(Refusal::other_site());
    }
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Refusal::method());
    }
    if has_body(&head.headers) {
        return Err(Refusal::body());
    }
    Ok(peer.clone())
}

/// Every host that the request names; `None` for one that cannot be read, or if it names none.
fn hosts(head: &Parts) -> impl Iterator<Item = Option<&str>> {
    let named = head.headers.get_all(HOST).iter();
    let named: Vec<_> = named
        .map(|host| host.to_str().ok())
        .chain(head.uri.authority().map(|named| Some(named.as_str())))
        .collect();
    let none = named.is_empty().then_some(None);
    named.into_iter().chain(none)
}

/// Whether `host`, with a port or without, is a name or an address of this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, "")) => name,
            Some((name, port)) if port.strip_prefix(':').is_some_and(is_port) => name,
            _ => return false,
        },
        None => match host.split_once(':') {
            Some((name, port)) if is_port(port) => name,
            Some(_) => return false,
            None => host,
        },
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

/// Whether the page of another site has the browser load this as a part of itself. Following a link from
/// there is fine. Browsers say it; whoever is none has no sites.
fn is_for_another_site(headers: &HeaderMap) -> bool {
    let says = |name: &str, words: &[&str]| {
        let said = headers.get(name).and_then(|said| said.to_str().ok());
        said.is_some_and(|said| words.contains(&said))
    };
    says("sec-fetch-site", &["cross-site", "same-site"])
        && !(says("sec-fetch-mode", &["navigate"]) && says("sec-fetch-dest", &["document"]))
}

fn has_body(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH);
    headers.contains_key(TRANSFER_ENCODING)
        || length.is_some_and(|length| length.as_bytes() != b"0")
}
