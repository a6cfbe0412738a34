//! How requests reach AWS: one HTTP client, one session per identity, one way to read failures.
//!
//! [`AwsOptions`] are what the user wrote; they come to a [`Destination`]: a shared [`Session`] and an endpoint. An output
//! makes its SDK client from [`Session::sdk_config`] at its first attempt; calls that carry records are made from a [`Draft`]. A call that failed goes through
//! [`classify`]; [`Session::renew`] says whether it is worth repeating at once with newer credentials.

mod clock;
mod credentials;
mod draft;
mod endpoint;
mod failure;
mod http;
mod options;
mod proxy;
mod region;
mod session;
mod url_credentials;

pub use credentials::KeptCredentials;
pub(crate) use draft::{CallError, Draft, Pen, broken};
pub use endpoint::{EndpointError, endpoint_url};
pub use failure::{Failure, FailureKind, NEEDS_A_PERSON, classify};
pub use http::IkadaHttp;
pub use options::{AwsOptions, Destination};
pub use region::RegionName;
pub use session::{Role, Session, SessionSettings};
