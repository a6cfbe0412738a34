//! Framing, borrowed views and writers for MessagePack.
//!
//! Every byte that travels through the router is MessagePack, and nearly all of it is never decoded: inputs ask
//! only *where a value ends* ([`Scanner`], [`skip`]), filters and outputs look at single fields through a [`View`].
//!
//! **Which bytes are checked when.** [`Scanner`] and [`skip`] walk a whole value once: markers, lengths and depth are
//! then known to be good, and whoever holds those bytes may split them again without a bounds surprise. The *content* of
//! strings is never checked here: applications log anything, so a string is bytes until a format demands UTF-8.
//! No view allocates.
//!
//! **What it does not know:** entries, times, records, or any meaning of a value.
//!
//! Reading order: [`Scanner`] and [`skip`] (where does it end), [`View`] with [`MapView`] and [`ArrayView`] (what is in
//! it), [`write`] (how to build it).
//!
//! ```
//! use ikada_msgpack::{View, skip, write};
//!
//! let mut buf = Vec::new();
//! write::map_header(&mut buf, 1);
//! write::str(&mut buf, b"log");
//! write::str(&mut buf, b"hello");
//! assert_eq!(skip(&buf).unwrap(), buf.len());
//! let View::Map(map) = View::parse(&buf).unwrap().0 else { panic!("a map was written") };
//! let (key, value) = map.iter().next().unwrap();
//! assert_eq!(key, View::Str(b"log"));
//! assert_eq!(value, View::Str(b"hello"));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod scan;
mod view;
pub mod write;

pub use scan::{Header, MAX_DEPTH, ScanError, Scanner, header, skip};
pub use view::{ArrayIter, ArrayView, MapIter, MapView, View, str_bytes};
