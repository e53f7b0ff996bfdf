//! Does every request that is handed to a connection get an answer or an error?
//!
//! Requests reach a connection's task through a channel of tokio's. One that is put there at the moment
//! at which the task lets go of the channel is neither received nor dropped as long as there are
//! senders, so its caller would wait until its deadline. Here the two exclude each other.

use std::sync::{Arc, PoisonError, RwLock};

/// Where requests enter a connection. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Entrance(Arc<RwLock<()>>);

impl Entrance {
    /// Hands a request over, beside others that do. `send` must not wait.
    pub(super) fn enter<T>(&self, send: impl FnOnce() -> T) -> T {
        let _open = self.0.read().unwrap_or_else(PoisonError::into_inner);
        send()
    }

    /// Drops the end that receives, and with it all that has entered.
    pub(super) fn close<T>(&self, receiving: T) {
        let _closed = self.0.write().unwrap_or_else(PoisonError::into_inner);
        drop(receiving);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::{hint, thread};

    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    const TIMES: usize = 100_000;

    fn wait_for(reached: &AtomicUsize, number: usize) {
        for turn in 0_u32.. {
            match reached.load(Ordering::Acquire) {
                now if now >= number => return,
                // Both go on at the same moment if each has a processor to itself.
                _ if turn < 10_000 => hint::spin_loop(),
                _ => thread::yield_now(),
            }
        }
    }

    /// One of several thousand was neither, without the entrance.
    #[test]
    fn what_enters_while_the_other_end_is_dropped_is_dropped_or_refused() {
        let entrance = Entrance::default();
        let (begun, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let receiving = Mutex::new(None);
        let mut kept = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=TIMES {
                    wait_for(&begun, number);
                    let receiving = receiving.lock().unwrap().take();
                    (0..number % 60).for_each(|_| hint::spin_loop());
                    entrance.close(receiving);
                    done.store(number, Ordering::Release);
                }
            });
            for number in 1..=TIMES {
                let (sender, receiver) = unbounded_channel();
                *receiving.lock().unwrap() = Some(receiver);
                let message = Arc::new(());
                begun.store(number, Ordering::Release);
                let sent = entrance.enter(|| sender.send(Arc::clone(&message)));
                wait_for(&done, number);
                drop(sent);
                kept += Arc::strong_count(&message) - 1;
            }
        });
        assert_eq!(kept, 0, "neither dropped nor refused");
    }
}
