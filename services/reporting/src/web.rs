//! How does a browser's request become a page?
//!
//! | Question | File |
//! |---|---|
//! | who may ask for a page, and how? | `web/guard.rs` |
//! | which page does a URL mean? | `web/address.rs`, `web/filter.rs` |
//! | what do the RPCs answer? | `web/ask.rs` |
//! | why is there no page? | `web/refusal.rs` |
//! | how does a page look? | `web/look.rs` |
//! | what stands above every answer? | `web/answer.rs` |
//!
//! Nothing here reads the store. A page is made of what the RPCs answer, which are called in this
//! process through the chain of all calls, as the peer that asks: so a page shows nothing that a call
//! would not, and each is audited, limited and traced as calls are.

mod address;
mod answer;
mod ask;
mod filter;
mod guard;
mod look;
mod refusal;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use mesh_rpc::{Chain, Peer, Web, WebListener};
use mesh_sheet::Report;
use mesh_types::{Clock, Timestamp};
use tonic::body::Body;

use address::{Asked, Form, Page};
use answer::Answer;
use ask::Found;
use refusal::Refusal;

/// Longest time in which a page is made; its calls have limits of their own.
const PAGE_LIMIT: Duration = Duration::from_secs(30);

/// The pages, for browsers that come to `listener`. `clock` says which month it is.
#[must_use]
pub fn pages(listener: WebListener, clock: Arc<dyn Clock>) -> Web {
    let here = listener.is_without_certificates();
    Web::new(listener, move |chain| {
        let site = Site { chain, clock, here };
        move |request| answered(site.clone(), request)
    })
}

/// What every request needs.
#[derive(Clone)]
struct Site {
    chain: Chain,
    clock: Arc<dyn Clock>,
    /// Whether everybody on this machine is let in.
    here: bool,
}

async fn answered(site: Site, request: Request<Body>) -> Response<Body> {
    let (head, _unread) = request.into_parts();
    let page = Page::at(head.uri.path());
    let made = match guard::judge(&head, site.here) {
        Ok(peer) => tokio::time::timeout(PAGE_LIMIT, made(&site, &peer, page, &head.uri))
            .await
            .unwrap_or_else(|_| Err(Refusal::too_slow())),
        Err(refusal) => Err(refusal),
    };
    let answer = made.unwrap_or_else(|refusal| {
        let known = page.filter(|_| refusal.knows_the_peer());
        let filters = address::leniently(head.uri.query());
        Answer::refusal(
            &refusal,
            look::refused(site.clock.now(), &refusal, known, &filters),
        )
    });
    answer.into_response(&head, site.here, head.method == Method::HEAD)
}

async fn made(
    site: &Site,
    peer: &Peer,
    page: Option<Page>,
    uri: &http::Uri,
) -> Result<Answer, Refusal> {
    let page = page.ok_or_else(Refusal::no_page)?;
    let asked = Asked::read(page, uri.query())?;
    if page == Page::Index {
        return Ok(Answer::page(look::index(site.clock.now())));
    }
    let found = ask::report(site.chain.of(peer), &asked).await?;
    Ok(shown(site.clock.now(), &asked, &found))
}

/// What was found, in the form that was asked for.
fn shown(now: Timestamp, asked: &Asked, found: &Found) -> Answer {
    let Found { report, .. } = found;
    match asked.form {
        Form::Html => Answer::page(look::report(now, asked, found)),
        Form::Json => Answer::json(&asked.file_name("json"), &mesh_sheet::json(report)),
        Form::Csv => Answer::csv(&asked.file_name("csv"), csv(asked, report)),
    }
}

fn csv(asked: &Asked, report: &Report) -> String {
    let section = report.section(asked.table());
    section.map_or_else(String::new, mesh_sheet::csv)
}
