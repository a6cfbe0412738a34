//! How far a file has been taken by every output.
//!
//! Pieces of a file go out in order, and their receipts come back in any order. The mark stands before the first piece that is
//! not settled, and never goes back. A piece that the router gave up holds it there: nobody may take that for a delivery.

use std::collections::VecDeque;

use crate::identity::Place;

/// One piece that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece {
    Out(Place),
    Settled(Place),
    Lost,
}

impl Piece {
    fn end(self) -> Option<Place> {
        match self {
            Self::Out(end) | Self::Settled(end) => Some(end),
            Self::Lost => None,
        }
    }
}

/// The mark of one file.
#[derive(Debug)]
pub(crate) struct Watermark {
    mark: Place,
    /// Number of the first piece in the queue.
    first: u64,
    pieces: VecDeque<Piece>,
    /// Whether a piece was given up, so that what comes later does not count.
    is_held: bool,
}

impl Watermark {
    /// A file of which nothing before `start` has to be read again.
    pub(crate) fn new(start: Place) -> Self {
        Self { mark: start, first: 0, pieces: VecDeque::new(), is_held: false }
    }

    /// The position before which everything is settled.
    pub(crate) fn mark(&self) -> Place {
        self.mark
    }

    /// Whether everything that was sent is settled.
    pub(crate) fn is_idle(&self) -> bool {
        self.pieces.is_empty() && !self.is_held
    }

    /// Sends out what lies before `end` and was not sent before. Returns the piece's number.
    pub(crate) fn send(&mut self, end: Place) -> u64 {
        if self.is_held {
            return u64::MAX;
        }
        debug_assert!(
            self.pieces.iter().all(|piece| piece.end().is_none_or(|before| before.offset <= end.offset)),
            "{end:?} is sent behind {:?}",
            self.pieces
        );
        self.pieces.push_back(Piece::Out(end));
        self.first + self.pieces.len() as u64 - 1
    }

    /// What lies before `end` holds nothing to send. Returns whether the mark moved.
    pub(crate) fn pass(&mut self, end: Place) -> bool {
        if self.is_held {
            return false;
        }
        match self.pieces.back_mut() {
            None => {
                debug_assert!(end.offset >= self.mark.offset, "{end:?} is passed behind {:?}", self.mark);
                let moved = self.mark != end;
                self.mark = end;
                moved
            }
            Some(Piece::Settled(last)) => {
                *last = end;
                false
            }
            Some(_) => {
                self.pieces.push_back(Piece::Settled(end));
                false
            }
        }
    }

    /// A piece is settled. Returns whether the mark moved.
    pub(crate) fn settle(&mut self, number: u64) -> bool {
        match self.piece(number) {
            Some(piece) => {
                if let Piece::Out(end) = *piece {
                    *piece = Piece::Settled(end);
                }
            }
            None => return false,
        }
        self.advance()
    }

    /// A piece will never be settled: the mark stays before it for good.
    pub(crate) fn abandon(&mut self, number: u64) {
        if let Some(piece) = self.piece(number) {
            *piece = Piece::Lost;
            self.is_held = true;
            self.advance();
        }
    }

    fn piece(&mut self, number: u64) -> Option<&mut Piece> {
        let at = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.pieces.get_mut(at)
    }

    fn advance(&mut self) -> bool {
        let before = self.mark;
        while let Some(piece) = self.pieces.front() {
            match *piece {
                Piece::Out(_) => break,
                Piece::Lost => {
                    self.pieces.clear();
                    break;
                }
                Piece::Settled(end) => self.mark = end,
            }
            self.pieces.pop_front();
            self.first += 1;
        }
        self.mark != before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(offset: u64) -> Place {
        Place::new(offset, b"")
    }

    #[test]
    fn the_mark_waits_for_the_first_piece() {
        let mut mark = Watermark::new(place(5));
        let pieces = [10, 20, 30].map(|end| mark.send(place(end)));
        assert!(!mark.settle(pieces[1]) && !mark.settle(pieces[2]));
        assert_eq!(mark.mark().offset, 5);
        assert!(mark.settle(pieces[0]));
        assert_eq!(mark.mark().offset, 30);
        assert!(mark.is_idle());
    }

    #[test]
    fn what_holds_nothing_to_send_is_passed_in_its_turn() {
        let mut mark = Watermark::new(place(0));
        assert!(mark.pass(place(3)));
        let piece = mark.send(place(10));
        assert!(!mark.pass(place(12)) && !mark.pass(place(14)));
        assert_eq!(mark.mark().offset, 3);
        assert!(mark.settle(piece));
        assert_eq!(mark.mark().offset, 14);
    }

    #[test]
    fn an_abandoned_piece_holds_the_mark_for_good() {
        let mut mark = Watermark::new(place(0));
        let pieces = [10, 20, 30].map(|end| mark.send(place(end)));
        mark.abandon(pieces[1]);
        assert!(mark.settle(pieces[0]));
        assert!(!mark.settle(pieces[2]));
        let later = mark.send(place(40));
        assert!(!mark.settle(later) && !mark.pass(place(50)));
        assert_eq!(mark.mark().offset, 10);
        assert!(!mark.is_idle());
    }

    proptest! {
        #[test]
        fn the_mark_is_the_end_of_the_settled_beginning(
            steps in prop::collection::vec((0_u8..4, 0_usize..64), 1..200)
        ) {
            let mut mark = Watermark::new(place(0));
            // The model: every piece with its end, and whether it is settled.
            let mut model: Vec<(u64, u64, Option<bool>)> = Vec::new();
            let mut end = 0;
            for (step, pick) in steps {
                end += 1;
                match step {
                    0 => model.push((mark.send(place(end)), end, None)),
                    1 => { mark.pass(place(end)); model.push((u64::MAX, end, Some(true))); }
                    _ => {
                        let open: Vec<_> = (0..model.len()).filter(|at| model[*at].2.is_none()).collect();
                        if let Some(at) = open.get(pick % open.len().max(1)) {
                            let lost = step == 3 && pick % 8 == 0;
                            if lost { mark.abandon(model[*at].0) } else { mark.settle(model[*at].0); }
                            model[*at].2 = Some(!lost);
                        }
                    }
                }
                let settled = model.iter().take_while(|piece| piece.2 == Some(true)).last();
                prop_assert_eq!(mark.mark().offset, settled.map_or(0, |piece| piece.1));
            }
        }
    }
}
