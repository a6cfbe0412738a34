//! Panics: what is said of them, where they happened, and how work goes on after one.

use std::any::Any;
use std::cell::RefCell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, Location};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::{Instant, sleep};
use tracing::error;

use crate::InputContext;

/// What a caught panic carries.
pub type Panic = Box<dyn Any + Send>;

/// Time between two lines about panics at the same place.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Places of panics that are remembered.
const PLACES: usize = 100;

thread_local! {
    /// Where this thread panicked last.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// From now on every panic of the process, caught or not, is a log line with its place, once in a while for each place, in the stead of what
/// Rust writes to stderr.
pub fn watch_for_bugs() {
    let places: Mutex<HashMap<String, (Option<Instant>, u64)>> = Mutex::default();
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(Location::to_string).unwrap_or_default();
        PLACE.with(|last| *last.borrow_mut() = Some(place.clone()));
        let Some(times) = is_due(&mut places.lock().unwrap_or_else(PoisonError::into_inner), &place) else {
            return;
        };
        let thread = std::thread::current();
        let name = thread.name().unwrap_or("without a name");
        error!(
            "[bug] a bug of Ikada at {place}, in the thread {name}, {times} times since the last such line: {}",
            text(info.payload())
        );
    }));
}

/// How many panics at a place the line that is due now stands for; `None` if it is not due.
fn is_due(places: &mut HashMap<String, (Option<Instant>, u64)>, place: &str) -> Option<u64> {
    let now = Instant::now();
    if places.len() >= PLACES && !places.contains_key(place) {
        places.clear();
    }
    let (last, untold) = places.entry(place.to_owned()).or_insert((None, 0));
    *untold += 1;
    if last.is_some_and(|last| now < last + LINE_EVERY) {
        return None;
    }
    *last = Some(now);
    Some(std::mem::take(untold))
}

/// What a panic said that was caught on this thread a moment ago, and where it was, if that is watched for.
#[must_use]
pub fn said(panic: &(dyn Any + Send)) -> String {
    let place = PLACE.with(|last| last.borrow_mut().take());
    match place {
        Some(place) => format!("{} (at {place})", text(panic)),
        None => text(panic).to_owned(),
    }
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("nothing")
}

/// Does a part of an input's work, such as serving one connection; whether it ended by itself. A bug in it ends nothing else: it is told with
/// `what` was done, and counted.
pub async fn caught(cx: &InputContext, what: &str, work: impl Future<Output = ()>) -> bool {
    let Err(panic) = AssertUnwindSafe(work).catch_unwind().await else { return true };
    cx.metrics.bugs.add(1);
    error!(instance = %cx.id, "{what} ended in a bug of Ikada: {}", said(&*panic));
    false
}

/// Does work that an input must not be without, such as accepting connections, until it ends by itself. Each time that it ends in a bug, it
/// is begun anew after a rest; what `work` borrows stays as it is.
pub async fn kept_going<F>(cx: &InputContext, what: &str, rest: Duration, mut work: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    while !caught(cx, what, async { work().await }).await {
        cx.stop.run_until_cancelled(sleep(rest)).await;
        cx.metrics.restarts.add(1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ikada_record::{Chunk, Tally};
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::{BoxFuture, Dispatch, FlushClock, InputMetrics, InstanceId, Kind, Router, Service};

    struct Nobody;

    impl Router for Nobody {
        fn dispatch(&self, _: &InstanceId, _: Chunk, _: Dispatch) -> BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    fn context() -> InputContext {
        let name = "forward.0".to_owned();
        let id = InstanceId { kind: Kind::Input, plugin: "forward".to_owned(), name, alias: None };
        InputContext {
            id: Arc::new(id),
            router: Arc::new(Nobody),
            stop: CancellationToken::new(),
            quit: CancellationToken::new(),
            metrics: Arc::new(InputMetrics::default()),
            flush: FlushClock::new(Instant::now(), Duration::from_secs(1)),
            tally: Arc::new(Tally::default()),
            service: Arc::new(Service::default()),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_ends_in_bugs_is_begun_anew_after_a_rest_and_counted() {
        let (cx, start) = (context(), Instant::now());
        let mut tools = vec!["saw", "nail", "hammer"];
        kept_going(&cx, "building", Duration::from_secs(1), || {
            let tool = tools.pop();
            async move { assert_eq!(tool, Some("saw"), "that is no saw") }
        })
        .await;
        assert_eq!((cx.metrics.bugs.get(), cx.metrics.restarts.get()), (2, 2));
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }

    #[test]
    fn a_caught_panic_tells_what_it_said_and_where_it_was() {
        watch_for_bugs();
        let panic = std::panic::catch_unwind(|| panic!("the mast is gone")).unwrap_err();
        let said = said(&*panic);
        assert!(said.starts_with("the mast is gone (at ") && said.contains("bugs.rs:"), "{said}");
    }

    #[tokio::test(start_paused = true)]
    async fn panics_at_one_place_share_a_line() {
        let mut places = HashMap::new();
        let told: Vec<_> = (0..5).map(|_| is_due(&mut places, "a.rs:1")).collect();
        assert_eq!(told, [Some(1), None, None, None, None]);
        assert_eq!(is_due(&mut places, "b.rs:1"), Some(1));
        tokio::time::advance(LINE_EVERY).await;
        assert_eq!(is_due(&mut places, "a.rs:1"), Some(5));
    }
}
