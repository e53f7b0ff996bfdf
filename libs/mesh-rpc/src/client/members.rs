//! Which addresses does a service have, and which of them takes the next call? Without a clock, a
//! network or a lot of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// A name is resolved again after so long, while there are calls.
const RESOLVE_AGAIN: Duration = Duration::from_secs(3);
/// The same after something changed: a connection was lost, or could not be opened.
const RESOLVE_SOON: Duration = Duration::from_millis(500);
/// How long an address is left alone at least after it could not be reached, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
const PAUSES_GROW: u32 = 6;

/// The addresses of a service, each with what leads there.
#[derive(Debug)]
pub(super) struct Members<C> {
    all: Vec<Member<C>>,
    /// `None` where the address needs no resolving.
    name: Option<Name>,
}

#[derive(Debug, Default)]
struct Name {
    resolving: bool,
    /// When it was resolved last, for good or bad.
    resolved: Option<Instant>,
    /// Why that failed.
    trouble: Option<String>,
    /// Something happened since.
    doubted: bool,
}

#[derive(Debug)]
struct Member<C> {
    address: SocketAddr,
    link: Link<C>,
    /// Attempts that failed in a row.
    failures: u32,
    failed: Option<Failure>,
}

#[derive(Debug)]
enum Link<C> {
    Closed,
    Opening,
    Open(Arc<C>),
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    /// Until when the address is left alone, if there is another.
    pause: Duration,
    why: String,
}

/// What becomes of a call.
#[derive(Debug)]
pub(super) enum Choice<C> {
    /// It goes here.
    Take(Arc<C>),
    /// Something is under way.
    Wait,
    /// Nothing can be reached, for this reason.
    Failed(String),
}

impl<C> Members<C> {
    /// Of `host:port`.
    pub(super) fn of(address: &str) -> Self {
        match address.parse() {
            Ok(address) => Self {
                all: vec![Member::new(address)],
                name: None,
            },
            Err(_) => Self {
                all: Vec::new(),
                name: Some(Name::default()),
            },
        }
    }

    /// Lets go of the connections that are over. Calls that run on them go on.
    pub(super) fn part_with(&mut self, is_over: impl Fn(&C) -> bool) {
        for member in &mut self.all {
            if matches!(&member.link, Link::Open(connection) if is_over(connection)) {
                member.link = Link::Closed;
                if let Some(name) = &mut self.name {
                    name.doubted = true;
                }
            }
        }
    }

    /// Whether the name is to be resolved now, for a call that began at `begun`. Who is told so does it. While
    /// no address is known, each call has it tried once: whoever comes later does not wait for the pause.
    pub(super) fn begins_to_resolve(&mut self, begun: Instant, now: Instant) -> bool {
        let Some(name) = &mut self.name else {
            return false;
        };
        let due = name.resolved.is_none_or(|last| match name.trouble {
            None if !name.doubted => now.duration_since(last) >= RESOLVE_AGAIN,
            _ if self.all.is_empty() => last < begun,
            _ => now.duration_since(last) >= RESOLVE_SOON,
        });
        let begins = due && !name.resolving;
        name.resolving |= begins;
        begins
    }

    /// Takes what was found; says whether anything changed. Addresses that were known keep their
    /// connections; if nothing was found all stay.
    pub(super) fn resolved(
        &mut self,
        found: io::Result<Vec<SocketAddr>>,
        now: Instant,
    ) -> io::Result<bool> {
        let name = self.name.get_or_insert_default();
        name.resolving = false;
        name.resolved = Some(now);
        name.doubted = false;
        let found = found.and_then(|found| {
            let none = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            if found.is_empty() {
                Err(none)
            } else {
                Ok(found)
            }
        });
        name.trouble = found.as_ref().err().map(ToString::to_string);
        let found = found?;
        let known = self.all.len();
        self.all.retain(|member| found.contains(&member.address));
        let mut changed = self.all.len() < known;
        for address in found {
            if self.all.iter().all(|member| member.address != address) {
                self.all.push(Member::new(address));
                changed = true;
            }
        }
        Ok(changed)
    }

    /// The addresses to connect to now. Who is told them does it. One that failed is tried again after
    /// its pause, or at once for a call that has nowhere to go and was there before it failed.
    pub(super) fn begin_to_open(&mut self, begun: Instant, now: Instant) -> Vec<SocketAddr> {
        let somewhere = self.all.iter().any(|m| matches!(m.link, Link::Open(_)));
        let due = |failed: &Failure| {
            let rested = now.duration_since(failed.at) >= failed.pause;
            rested || (!somewhere && failed.at < begun)
        };
        let closed = self.all.iter_mut().filter(|member| {
            matches!(member.link, Link::Closed) && member.failed.as_ref().is_none_or(due)
        });
        closed
            .map(|member| {
                member.link = Link::Opening;
                member.address
            })
            .collect()
    }

    /// Takes the end of an attempt to connect; `lot` is between 0 and 1.
    pub(super) fn opened(
        &mut self,
        address: SocketAddr,
        opened: io::Result<C>,
        now: Instant,
        lot: f64,
    ) {
        let Some(member) = self.all.iter_mut().find(|m| m.address == address) else {
            // The name stands for it no more.
            return;
        };
        match opened {
            Ok(connection) => {
                member.link = Link::Open(Arc::new(connection));
                member.failures = 0;
                member.failed = None;
            }
            Err(error) => {
                member.link = Link::Closed;
                let pause = pause(member.failures, lot);
                member.failures += 1;
                let why = error.to_string();
                member.failed = Some(Failure {
                    at: now,
                    pause,
                    why,
                });
                if let Some(name) = &mut self.name {
                    name.doubted = true;
                }
            }
        }
    }

    /// Where a call goes that began at `begun`: of two open connections, drawn by `lot`, to the one
    /// with the smaller burden. `lot` is given a number and returns a smaller one.
    pub(super) fn choose<B: Ord>(
        &self,
        begun: Instant,
        burden: impl Fn(&C) -> B,
        mut lot: impl FnMut(usize) -> usize,
    ) -> Choice<C> {
        let open: Vec<_> = self.all.iter().filter_map(Member::connection).collect();
        match open.len() {
            0 => self.none_open(begun),
            1 => Choice::Take(Arc::clone(open[0])),
            among => {
                let first = lot(among);
                let second = (first + 1 + lot(among - 1)) % among;
                let lighter = if burden(open[second]) < burden(open[first]) {
                    second
                } else {
                    first
                };
                Choice::Take(Arc::clone(open[lighter]))
            }
        }
    }

    fn none_open(&self, begun: Instant) -> Choice<C> {
        let failed = |member: &Member<C>| {
            let failed = member.failed.as_ref().filter(|failed| failed.at >= begun);
            matches!(member.link, Link::Closed) && failed.is_some()
        };
        // The name may stand for others by now.
        let resolving = self.name.as_ref().is_some_and(|name| name.resolving);
        if resolving || self.all.iter().any(|member| !failed(member)) {
            return Choice::Wait;
        }
        if let Some(last) = self.all.iter().rev().find_map(|m| m.failed.as_ref()) {
            return Choice::Failed(last.why.clone());
        }
        match &self.name {
            Some(Name {
                resolved: Some(at),
                trouble: Some(why),
                ..
            }) if *at >= begun => Choice::Failed(why.clone()),
            _ => Choice::Wait,
        }
    }
}

impl<C> Member<C> {
    const fn new(address: SocketAddr) -> Self {
        Self {
            address,
            link: Link::Closed,
            failures: 0,
            failed: None,
        }
    }

    const fn connection(&self) -> Option<&Arc<C>> {
        match &self.link {
            Link::Open(connection) => Some(connection),
            Link::Closed | Link::Opening => None,
        }
    }
}

/// Twice as long after each failure; between half and the whole of that.
fn pause(failures: u32, lot: f64) -> Duration {
    let (least, most) = PAUSES;
    let whole = (least * 2_u32.pow(failures.min(PAUSES_GROW))).min(most);
    whole / 2 + (whole / 2).mul_f64(lot.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests;
