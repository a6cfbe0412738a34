//! The Forward protocol, the input that listens for it, and the output that speaks it.
//!
//! Docker's `fluentd` log driver (and so every container behind FireLens), Fluentd, Fluent Bit and their client libraries
//! speak it. The program registers [`inputs`] and [`outputs`]; the engine opens and runs what they build.
//!
//! **The modes of the wire.** MessagePack values back to back on a stream socket, told apart by the second element:
//!
//! | mode | bytes |
//! |---|---|
//! | Message | `93` tag time record, or `94` tag time record option |
//! | Forward | `92` tag `9n` (`92` time record)… , or `93` with an option behind |
//! | PackedForward | `92` tag (`c4…` or `d9…` with `92` time record `92` time record …), or `93` with an option behind |
//! | CompressedPackedForward | the same, its content in gzip (`1f 8b`) or zstd (`28 b5 2f fd`) |
//!
//! A time is an integer or an EventTime (`d7 00` and 4 + 4 bytes); inside a run of entries also a float. An entry may carry metadata,
//! `92` (`92` time metadata) record.
//!
//! **When an ack is sent.** A frame whose option holds `chunk` is answered with `{"ack": chunk}` once *every route of every
//! entry of it has settled*, and never when something of it was lost or abandoned. Fluent Bit answers when the frame is in memory.
//!
//! **What happens to bad frames.** What was good before it goes on; the connection is closed, with a counter and a
//! log line. Only a damaged pack from a peer that waits for no answer leaves the connection open, because the next frame can be told.
//!
//! **Lines in pieces.** Docker cuts lines over 16 KiB. The pieces are put together again on their connection, unless the option `join_partial` is
//! off or the peer asks for answers to them.
//!
//! **What it does not know:** other outputs, filters, queues, or what a record means. It never builds a value of a record.
//!
//! Reading order: [`Framer`] and [`Frame`] (where does a frame end, what is in it), [`Decoder`] (from bytes to chunks), [`Acks`],
//! [`Forward`] and its connections, [`client`] (the sending side).
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use bytes::BytesMut;
//! use ikada_forward::client::{FrameOption, encode_message};
//! use ikada_forward::{Acks, Decoder, TagRule};
//! use ikada_plugin::FlushClock;
//! use ikada_record::Timestamp;
//! use tokio::time::Instant;
//!
//! let now = Instant::now();
//! let flush = FlushClock::new(now, Duration::from_secs(1));
//! let mut decoder = Decoder::new(Arc::new(TagRule::Sent), 6_144_000, flush, Acks::new(None));
//!
//! let mut frame = Vec::new();
//! encode_message(&mut frame, b"app.a", Timestamp::new(5, 7), b"\x81\xa3log\xa2hi", &FrameOption::default());
//! let fed = decoder.feed(&mut BytesMut::from(&frame[..]), now);
//! assert_eq!(fed.records, 1);
//!
//! decoder.flush();
//! let ready = decoder.take_ready().next().unwrap();
//! assert_eq!(ready.chunk.tag().as_bytes(), b"app.a");
//! assert_eq!(ready.chunk.entries().next().unwrap().time(), Timestamp::new(5, 7));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod ack;
pub mod client;
mod connection;
mod decoder;
mod fine;
mod frame;
pub mod fuzz;
mod handshake;
mod inflate;
mod input;
mod join;
mod listen;
mod options;
mod out;
mod peers;
mod rest;
mod socket;
mod tags;

pub use ack::Acks;
pub use decoder::{Decoder, Fed, Ready, SHARED};
pub use frame::{Body, Compression, EntryAt, Frame, FrameError, Framer, MAX_TAG};
pub use handshake::Guard;
pub use input::{Forward, MAX_CONNECTIONS, Settings};
pub use join::JoinRule;
pub use listen::UnixPath;
pub use options::{ForwardOptions, inputs};
pub use out::{Compress, ExtraOption, ForwardOutOptions, outputs};
pub use tags::TagRule;
