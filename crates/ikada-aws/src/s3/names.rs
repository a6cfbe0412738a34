//! What keeps names of objects apart.

use std::hash::{DefaultHasher, Hasher};

/// Letters of a part.
const LEN: usize = 8;
const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Parts that nothing else has: eight letters and digits, one of 2 × 10^14, made of this run of the output and the object's number in
/// it.
///
/// They are not made of what is in the object. A client that lost its acks sends some records again, and not others: an object of those
/// under the name of the one that held them all would take the others away. What makes a repeated upload write to the same place is that the
/// name is drawn once, and kept with the object.
#[derive(Debug)]
pub(crate) struct Names {
    run: u128,
    drawn: u64,
}

impl Names {
    /// The names of a run.
    pub(crate) fn new() -> Self {
        Self { run: rand::random(), drawn: 0 }
    }

    /// The next part.
    pub(crate) fn draw(&mut self) -> String {
        let mut hasher = DefaultHasher::new();
        hasher.write_u128(self.run);
        hasher.write_u64(self.drawn);
        self.drawn += 1;
        let mut rest = hasher.finish();
        let mut name = String::with_capacity(LEN);
        for _ in 0..LEN {
            name.push(char::from(LETTERS[(rest % 62) as usize]));
            rest /= 62;
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_comes_twice_in_a_run_or_in_another() {
        let mut runs: Vec<Names> = (0..10).map(|_| Names::new()).collect();
        let drawn: HashSet<String> =
            runs.iter_mut().flat_map(|run| (0..1000).map(|_| run.draw()).collect::<Vec<_>>()).collect();
        assert_eq!(drawn.len(), 10_000);
        assert!(
            drawn.iter().all(|name| name.len() == LEN && name.bytes().all(|b| b.is_ascii_alphanumeric()))
        );
    }
}
