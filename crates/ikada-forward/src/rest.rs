//! When to rest before the next read.
//!
//! Docker writes one record per write, and a reader that is woken for each pays six times for it. Where records come fast
//! enough that some milliseconds gather many, the reader rests, and reads them at once. The rest must be short against what the socket
//! holds (a unix socket's default is some 200 small writes): a writer must never have to wait for a reader that sleeps.

use std::time::Duration;

/// The longest rest. Nobody notices it beside a flush interval of a second.
const LONGEST: Duration = Duration::from_millis(5);
/// The shortest one a timer can measure.
const SHORTEST: Duration = Duration::from_millis(1);
/// Records that a rest may let wait in the socket, a third of what it holds.
const RECORDS: u32 = 64;
/// Bytes that a rest may let wait in the socket.
const BYTES: u32 = 48 * 1024;
/// Fewer records than this are not worth a timer.
const WORTH: u32 = 4;

/// How long to rest after a read that brought so much, `None` for not at all.
///
/// `since` is the time since the read before it, rest included. `longest` is a bound from outside: the flush interval.
pub(crate) fn rest(records: u64, bytes: usize, since: Duration, longest: Duration) -> Option<Duration> {
    let longest = longest.min(LONGEST);
    let records = u32::try_from(records).unwrap_or(u32::MAX);
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    let since = since.max(Duration::from_micros(1)).as_secs_f64();
    let per_rest = |n: u32| f64::from(n) / since * longest.as_secs_f64();
    let (records, bytes) = (per_rest(records), per_rest(bytes));
    if records < f64::from(WORTH) {
        return None;
    }
    let share = (f64::from(RECORDS) / records).min(f64::from(BYTES) / bytes.max(1.0)).min(1.0);
    let rest = longest.mul_f64(share);
    (rest >= SHORTEST).then_some(rest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLUSH: Duration = Duration::from_secs(1);

    fn micros(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    #[test]
    fn docker_at_five_megabytes_a_second_is_read_in_fives_of_milliseconds() {
        // 14,000 records a second of 350 bytes, first one by one, then after a rest.
        let first = rest(1, 350, micros(71), FLUSH).unwrap();
        assert!(first >= Duration::from_millis(3), "{first:?}");
        let next = rest(70, 24_500, micros(5_100), FLUSH).unwrap();
        assert!(next >= Duration::from_millis(4), "{next:?}");
    }

    #[test]
    fn a_flood_is_read_without_rest() {
        assert_eq!(rest(1, 350, micros(2), FLUSH), None);
        assert_eq!(rest(180, 64 * 1024, micros(60), FLUSH), None);
        assert_eq!(rest(10, 60_000, micros(100), FLUSH), None);
    }

    #[test]
    fn a_trickle_is_read_as_it_comes() {
        assert_eq!(rest(1, 350, Duration::from_millis(10), FLUSH), None);
        assert_eq!(rest(3, 900, Duration::from_secs(5), FLUSH), None);
    }

    #[test]
    fn a_rest_is_never_longer_than_the_flush_interval() {
        assert_eq!(rest(6, 900, micros(300), Duration::from_millis(2)), Some(Duration::from_millis(2)));
        assert_eq!(rest(6, 900, micros(300), micros(500)), None);
    }

    proptest! {
        #[test]
        fn what_gathers_in_a_rest_fits_the_socket(records in 1u64..5000, size in 20usize..5000, since in 1u64..100_000) {
            if let Some(rest) = rest(records, records as usize * size, micros(since), FLUSH) {
                let gathered = records as f64 / since as f64 * rest.as_micros() as f64;
                prop_assert!(gathered <= 65.0, "{gathered}");
                prop_assert!(gathered * size as f64 <= 49_500.0);
            }
        }
    }
}
