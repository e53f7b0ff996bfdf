//! Who may stand at the door, and who has to go when it is crowded?
//!
//! A guest is a connection whose peer has not said who it is: it is in its handshake, or went
//! through one without a certificate that carries an identity. Guests cost their sender nothing, so
//! there are only so many, and when one more comes the one that has been there longest goes. So a
//! crowd that says nothing keeps nobody out for longer than [`GRACE`].

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// A guest may stay so long whoever else waits: many honest peers that come at once, after a
/// restart, get their handshakes done and do not push each other out.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// The guests of one server.
#[derive(Debug, Clone)]
pub(super) struct Guests {
    places: Arc<Semaphore>,
    book: Arc<Mutex<Book>>,
}

/// The guests that may stay, the longest there first.
#[derive(Debug, Default)]
struct Book {
    last: u64,
    staying: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// One guest; its place is free when this is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    number: u64,
    told_to_go: CancellationToken,
    book: Arc<Mutex<Book>>,
    _place: OwnedSemaphorePermit,
}

impl Guests {
    pub(super) fn new(places: usize) -> Self {
        Self {
            places: Arc::new(Semaphore::new(places)),
            book: Arc::default(),
        }
    }

    /// Waits for a place; if none gets free within [`GRACE`] or less, one is made. `None` if there
    /// will be none.
    pub(super) async fn enter(&self) -> Option<Guest> {
        let until = self.longest_there().map(|since| since + GRACE);
        let mut place = pin!(self.places.clone().acquire_owned());
        let place = tokio::select! {
            biased;
            place = place.as_mut() => place,
            () = at(until) => {
                self.tell_longest_there_to_go();
                // It goes at once: nobody else has to.
                place.await
            }
        };
        Some(self.admit(place.ok()?))
    }

    fn admit(&self, place: OwnedSemaphorePermit) -> Guest {
        let told_to_go = CancellationToken::new();
        let mut book = lock(&self.book);
        book.last += 1;
        let number = book.last;
        let entry = (Instant::now(), told_to_go.clone());
        book.staying.insert(number, entry);
        Guest {
            number,
            told_to_go,
            book: self.book.clone(),
            _place: place,
        }
    }

    fn longest_there(&self) -> Option<Instant> {
        let book = lock(&self.book);
        let (_, (since, _)) = book.staying.first_key_value()?;
        Some(*since)
    }

    fn tell_longest_there_to_go(&self) {
        if let Some((_, (_, token))) = lock(&self.book).staying.pop_first() {
            token.cancel();
        }
    }
}

impl Guest {
    /// Resolves when the guest has to go.
    pub(super) fn has_to_go(&self) -> WaitForCancellationFuture<'_> {
        self.told_to_go.cancelled()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        lock(&self.book).staying.remove(&self.number);
    }
}

async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    // What the lock protects is whole at every step.
    book.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_one_that_is_there_longest_makes_room_and_nobody_too_soon() {
        let guests = Guests::new(2);
        let start = Instant::now();
        let first = guests.enter().await.unwrap();
        let second = guests.enter().await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO, "there was room");
        let third = tokio::spawn({
            let guests = guests.clone();
            async move { guests.enter().await.unwrap() }
        });
        first.has_to_go().await;
        assert_eq!(start.elapsed(), GRACE);
        let soon = timeout(GRACE / 2, second.has_to_go()).await;
        assert!(soon.is_err(), "one place was enough");
        drop(first);
        let third = third.await.unwrap();
        // Whoever leaves by itself makes room at once, and nobody has to go.
        drop(third);
        let before = Instant::now();
        let _fourth = guests.enter().await.unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
        assert!(timeout(GRACE, second.has_to_go()).await.is_err());
    }
}
