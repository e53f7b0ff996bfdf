//! Somebody who answers when a test says so, and notes each call.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::Instant;

use super::*;

/// The question that makes a call panic.
const POISON: usize = usize::MAX;

#[derive(Clone)]
struct Counting(Arc<Calls>);

struct Calls {
    begun: Mutex<Vec<Vec<usize>>>,
    /// How many calls may be answered.
    answers: Semaphore,
    given_up: AtomicUsize,
}

struct Running<'c>(&'c AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counting {
    fn new(answers: usize) -> Self {
        Self(Arc::new(Calls {
            begun: Mutex::default(),
            answers: Semaphore::new(answers),
            given_up: AtomicUsize::new(0),
        }))
    }

    fn begun(&self) -> Vec<Vec<usize>> {
        self.0.begun.lock().unwrap().clone()
    }

    fn sizes(&self) -> Vec<usize> {
        self.begun().iter().map(Vec::len).collect()
    }

    async fn answer_next(&self, begun: usize) {
        self.0.answers.add_permits(1);
        while self.begun().len() < begun {
            yield_now().await;
        }
    }
}

impl Answering for Counting {
    type Question = usize;
    type Answer = usize;

    async fn one(&self, question: usize) -> usize {
        self.all(vec![question]).await[0]
    }

    async fn all(&self, questions: Vec<usize>) -> Vec<usize> {
        self.0.begun.lock().unwrap().push(questions.clone());
        let running = Running(&self.0.given_up);
        self.0.answers.acquire().await.unwrap().forget();
        std::mem::forget(running);
        assert!(!questions.contains(&POISON), "poison");
        questions
            .into_iter()
            .map(|question| question * 10)
            .collect()
    }
}

fn ask(gather: &Gather<Counting>, question: usize) -> JoinHandle<Option<usize>> {
    let gather = gather.clone();
    tokio::spawn(async move { gather.ask(question, None).await })
}

/// Asks `0`, which is under way then, and has `1..=waiting` wait.
async fn with_waiting(
    counting: &Counting,
    waiting: usize,
) -> (Gather<Counting>, Vec<JoinHandle<Option<usize>>>) {
    let gather = Gather::new(counting.clone());
    let mut asked = vec![ask(&gather, 0)];
    while counting.begun().is_empty() {
        yield_now().await;
    }
    for question in 1..=waiting {
        asked.push(ask(&gather, question));
        while gather.0.state().waiting.len() < question % MOST {
            yield_now().await;
        }
    }
    (gather, asked)
}

#[tokio::test]
async fn one_after_another_goes_alone_and_at_once() {
    let counting = Counting::new(3);
    let gather = Gather::new(counting.clone());
    for question in 0..3 {
        assert_eq!(gather.ask(question, None).await, Some(question * 10));
    }
    assert_eq!(counting.sizes(), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn those_that_wait_go_together_and_each_has_its_own_answer() {
    let counting = Counting::new(0);
    let (gather, asked) = with_waiting(&counting, 64).await;
    counting.answer_next(2).await;
    counting.0.answers.add_permits(1);
    for (question, asked) in asked.into_iter().enumerate() {
        assert_eq!(asked.await.unwrap(), Some(question * 10));
    }
    assert_eq!(counting.sizes(), [1, 64]);
    counting.0.answers.add_permits(1);
    assert_eq!(gather.ask(7, None).await, Some(70));
    assert_eq!(
        counting.sizes(),
        [1, 64, 1],
        "nothing is under way any more"
    );
}

#[tokio::test(start_paused = true)]
async fn as_many_as_fill_a_call_wait_for_nothing() {
    let counting = Counting::new(0);
    let (_gather, asked) = with_waiting(&counting, MOST + 5).await;
    while counting.begun().len() < 2 {
        yield_now().await;
    }
    assert_eq!(counting.sizes(), [1, MOST]);
    counting.0.answers.add_permits(3);
    for asked in asked {
        assert!(asked.await.unwrap().is_some());
    }
    assert_eq!(counting.sizes(), [1, MOST, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_not_waited_for() {
    let counting = Counting::new(0);
    let (gather, _asked) = with_waiting(&counting, 2).await;
    let before = Instant::now();
    while counting.begun().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(before.elapsed() <= PATIENCE + Duration::from_millis(2));
    assert_eq!(counting.begun(), [vec![0], vec![1, 2]]);
    // Nor is the one that went then.
    let late = ask(&gather, 3);
    while counting.begun().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!late.is_finished());
    assert!(before.elapsed() <= 2 * PATIENCE + Duration::from_millis(4));
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_takes_along_no_other() {
    let counting = Counting::new(0);
    let (_gather, mut asked) = with_waiting(&counting, 3).await;
    let [first, gone] = [asked.remove(0), asked.remove(1)];
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    // The call that the others wait for is cut off: they go.
    first.abort();
    while counting.begun().len() < 2 {
        yield_now().await;
    }
    assert_eq!(counting.begun(), [vec![0], vec![1, 3]]);
    // One of two leaves the call; the other has its answer.
    asked.remove(0).abort();
    counting.0.answers.add_permits(1);
    assert_eq!(asked.remove(0).await.unwrap(), Some(30));
}

#[tokio::test(start_paused = true)]
async fn a_call_for_nobody_is_given_up() {
    let counting = Counting::new(0);
    let (gather, asked) = with_waiting(&counting, 2).await;
    counting.answer_next(2).await;
    asked.iter().for_each(JoinHandle::abort);
    while counting.0.given_up.load(Ordering::SeqCst) < 1 {
        yield_now().await;
    }
    counting.0.answers.add_permits(1);
    assert_eq!(gather.ask(5, None).await, Some(50));
}

#[tokio::test(start_paused = true)]
async fn who_went_away_while_it_waited_is_not_asked_for() {
    let counting = Counting::new(0);
    let (gather, asked) = with_waiting(&counting, 1).await;
    for asked in asked.into_iter().rev() {
        asked.abort();
        assert!(asked.await.unwrap_err().is_cancelled());
    }
    assert!(!gather.0.state().under_way);
    assert_eq!(counting.sizes(), [1]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_its_own_time() {
    let counting = Counting::new(0);
    let (gather, _asked) = with_waiting(&counting, 1).await;
    let left = Duration::from_millis(500);
    let before = Instant::now();
    assert_eq!(gather.ask(2, Some(left)).await, None);
    assert_eq!(before.elapsed().as_millis(), (left - MARGIN).as_millis());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_fails_those_in_it_and_nobody_else() {
    let counting = Counting::new(0);
    let (gather, mut asked) = with_waiting(&counting, 1).await;
    asked.push(ask(&gather, POISON));
    while gather.0.state().waiting.len() < 2 {
        yield_now().await;
    }
    counting.answer_next(2).await;
    let later = ask(&gather, 4);
    while gather.0.state().waiting.is_empty() {
        yield_now().await;
    }
    counting.0.answers.add_permits(2);
    let answers = [asked.remove(0), asked.remove(0), asked.remove(0), later];
    let mut told = Vec::new();
    for answer in answers {
        told.push(answer.await.unwrap());
    }
    assert_eq!(told, [Some(0), None, None, Some(40)]);
}
