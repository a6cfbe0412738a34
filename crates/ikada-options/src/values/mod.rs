//! The shelf: the types of values that options are made of.

mod level;
mod list;
mod number;
mod retry;
mod size;
mod switch;
mod text;
mod time;

pub use level::LogLevel;
pub use list::{CommaList, SpaceList};
pub use number::Octal;
pub use retry::RetryLimit;
pub use size::{ByteSize, SizeLimit};
pub use text::Secret;
pub use time::Seconds;
