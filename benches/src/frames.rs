//! Forward frames, encoded once, in which only times and numbers are written anew.
//!
//! A [`Block`] is what a sender goes through from front to back, again and again: messages of the size and shape that Docker's
//! `fluentd` log driver sends for a container, or one pack. Numbers have a fixed width, so that they can be written over in place.

use ikada_forward::client::{FrameOption, encode_message, encode_packed, push_entry};
use ikada_msgpack::write;
use ikada_record::Timestamp;

/// Digits of a number.
const DIGITS: usize = 10;

/// A run of encoded records with the places that change.
pub(crate) struct Block {
    bytes: Vec<u8>,
    records: Vec<Record>,
}

/// Places inside the block.
#[derive(Debug, Clone, Copy)]
struct Record {
    /// Where an EventTime's eight bytes of seconds and nanoseconds begin.
    time: usize,
    /// Where the digits begin.
    number: usize,
    /// Up to where the block must have been written for this record to be whole.
    end: usize,
}

/// Who sends.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    /// The name in the marks.
    pub(crate) name: &'static str,
    /// The tag.
    pub(crate) tag: &'static str,
}

/// The containers of the task that is played.
pub(crate) const CLIENTS: [Client; 2] = [
    Client { name: "app", tag: "app-firelens-0123456789abcdef0123456789abcdef" },
    Client { name: "web", tag: "web-firelens-0123456789abcdef0123456789abcdef" },
];

impl Block {
    /// Messages of one record each, as many as fit into `size` bytes. `dice` makes blocks differ.
    pub(crate) fn messages(client: &Client, size: usize, dice: &mut Dice) -> Block {
        let mut block = Block { bytes: Vec::with_capacity(size + 1024), records: Vec::new() };
        loop {
            let start = block.bytes.len();
            let record = record(client, dice);
            let (time, option) = (Timestamp::new(0, 0), FrameOption::default());
            encode_message(&mut block.bytes, client.tag.as_bytes(), time, &record, &option);
            if block.bytes.len() > size && start > 0 {
                block.bytes.truncate(start);
                return block;
            }
            block.note(start, None);
        }
    }

    /// One pack of so many records.
    pub(crate) fn pack(client: &Client, count: usize, dice: &mut Dice) -> Block {
        let (mut run, mut starts) = (Vec::new(), Vec::new());
        for _ in 0..count {
            starts.push(run.len());
            push_entry(&mut run, Timestamp::new(0, 0), &record(client, dice));
        }
        let mut block = Block { bytes: Vec::new(), records: Vec::new() };
        encode_packed(&mut block.bytes, client.tag.as_bytes(), &run, &FrameOption::default());
        let (head, whole) = (block.bytes.len() - run.len(), block.bytes.len());
        starts.iter().for_each(|start| block.note(head + start, Some(whole)));
        block
    }

    /// Finds the places that change in the record that starts at `start`.
    fn note(&mut self, start: usize, end: Option<usize>) {
        let rest = &self.bytes[start..];
        let find = |what: &[u8]| rest.windows(what.len()).position(|window| window == what);
        let time = find(&[0xd7, 0x00]).expect("a record has a time") + 2;
        let mark = find(b"seq=").expect("a record has a mark");
        let colon = rest[mark..].iter().position(|&byte| byte == b':').expect("a mark has a number");
        let (time, number) = (start + time, start + mark + colon + 1);
        self.records.push(Record { time, number, end: end.unwrap_or(self.bytes.len()) });
    }

    /// How many records it holds.
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    /// Numbers records `range` from `first` on and gives them all one time.
    pub(crate) fn stamp(&mut self, range: std::ops::Range<usize>, first: u64, secs: u32, nanos: u32) {
        for (record, number) in self.records[range].iter().zip(first..) {
            self.bytes[record.time..record.time + 4].copy_from_slice(&secs.to_be_bytes());
            self.bytes[record.time + 4..record.time + 8].copy_from_slice(&nanos.to_be_bytes());
            write_digits(&mut self.bytes[record.number..record.number + DIGITS], number);
        }
    }

    /// The bytes of records `range`. A pack has all of them or none.
    pub(crate) fn bytes(&self, range: std::ops::Range<usize>) -> &[u8] {
        let start = range.start.checked_sub(1).map_or(0, |before| self.records[before].end);
        let end = range.end.checked_sub(1).map_or(0, |last| self.records[last].end);
        &self.bytes[start..end]
    }

    /// How many records, from `from` on, are whole in the first `written` bytes of what [`Block::bytes`] gives, and how many
    /// bytes those take.
    pub(crate) fn whole(&self, from: usize, written: usize) -> (usize, usize) {
        let start = from.checked_sub(1).map_or(0, |before| self.records[before].end);
        let whole = self.records[from..].iter().take_while(|record| record.end <= start + written);
        whole.fold((0, 0), |(count, _), record| (count + 1, record.end - start))
    }
}

fn write_digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// `{container_id, container_name, source, log}`, all of them strings, as the log driver builds it.
fn record(client: &Client, dice: &mut Dice) -> Vec<u8> {
    let log = if dice.below(2) == 0 { json_line(client, dice) } else { access_line(client, dice) };
    let name = format!("/ecs-shop-7-{}-9af2c4d6e8f0", client.name);
    let mut record = Vec::with_capacity(log.len() + 160);
    write::map_header(&mut record, 4);
    for (key, value) in [
        ("container_id", "8b1f3f5f8a1b4b6e8c5d0e3a9f7c2d4e6b8a1c3e5f7092b4d6f8a0c2e4f60718"),
        ("container_name", &name),
        ("source", "stdout"),
        ("log", &log),
    ] {
        write::str(&mut record, key.as_bytes());
        write::str(&mut record, value.as_bytes());
    }
    record
}

fn json_line(client: &Client, dice: &mut Dice) -> String {
    format!(
        r#"{{"level":"info","service":"checkout","msg":"order placed","customer":{},"items":{},"total":{}.{:02},"took_ms":{},"request":"seq={}:{}"}}"#,
        1_000 + dice.below(9_000),
        1 + dice.below(6),
        5 + dice.below(400),
        dice.below(100),
        2 + dice.below(400),
        client.name,
        "0".repeat(DIGITS)
    )
}

fn access_line(client: &Client, dice: &mut Dice) -> String {
    format!(
        r#"10.0.{}.{} - - "GET /products/{}?seq={}:{} HTTP/1.1" 200 {} "https://shop.example/" "Mozilla/5.0 (X11; Linux x86_64)" 0.{:03}"#,
        dice.below(16),
        dice.below(256),
        1 + dice.below(5_000),
        client.name,
        "0".repeat(DIGITS),
        200 + dice.below(30_000),
        dice.below(1_000)
    )
}

/// The same sequence of numbers in every run (splitmix64).
pub(crate) struct Dice(u64);

impl Dice {
    /// A sequence of its own for each seed.
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    /// A number under `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

#[cfg(test)]
mod tests {
    use ikada_msgpack::{View, skip};

    use super::*;

    fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
        let mut frames = Vec::new();
        while !bytes.is_empty() {
            let (frame, rest) = bytes.split_at(skip(bytes).unwrap());
            frames.push(frame);
            bytes = rest;
        }
        frames
    }

    fn log(record: &View<'_>) -> String {
        let map = record.as_map().unwrap();
        String::from_utf8(map.get(b"log").unwrap().as_str().unwrap().to_vec()).unwrap()
    }

    #[test]
    fn messages_are_numbered_and_of_the_size_that_a_containers_lines_have() {
        let mut block = Block::messages(&CLIENTS[0], 64_000, &mut Dice::new(1));
        assert!((300.0..400.0).contains(&(block.bytes(0..block.len()).len() as f64 / block.len() as f64)));
        block.stamp(0..block.len(), 41, 1_800_000_000, 5);
        let frames = frames(block.bytes(0..block.len()));
        assert_eq!(frames.len(), block.len());
        for (frame, number) in frames.iter().zip(41..) {
            let array = View::parse(frame).unwrap().0.as_array().unwrap();
            assert_eq!(array.get(0).unwrap().as_str().unwrap(), CLIENTS[0].tag.as_bytes());
            let time = Timestamp::from_view(&array.get(1).unwrap()).unwrap();
            assert_eq!(time, Timestamp::new(1_800_000_000, 5));
            assert!(log(&array.get(2).unwrap()).contains(&format!("seq=app:{number:010}")));
        }
    }

    #[test]
    fn a_pack_is_numbered_inside_and_is_whole_only_at_its_end() {
        let mut block = Block::pack(&CLIENTS[1], 50, &mut Dice::new(1));
        block.stamp(0..50, 7, 1_800_000_000, 5);
        let bytes = block.bytes(0..50);
        let array = View::parse(bytes).unwrap().0.as_array().unwrap();
        let View::Bin(run) = array.get(1).unwrap() else { panic!("no pack") };
        for (entry, number) in frames(run).iter().zip(7..) {
            let array = View::parse(entry).unwrap().0.as_array().unwrap();
            assert!(log(&array.get(1).unwrap()).contains(&format!("seq=web:{number:010}")));
        }
        assert_eq!(block.whole(0, bytes.len() - 1), (0, 0));
        assert_eq!(block.whole(0, bytes.len()), (50, bytes.len()));
    }

    #[test]
    fn what_was_written_in_part_counts_up_to_the_last_whole_record() {
        let block = Block::messages(&CLIENTS[0], 10_000, &mut Dice::new(1));
        let two = block.bytes(3..5).len();
        assert_eq!(block.whole(3, two + 10), (2, two));
        assert_eq!(block.whole(3, 10), (0, 0));
        let all = block.bytes(0..block.len()).len();
        assert_eq!(block.whole(0, all), (block.len(), all));
    }
}
