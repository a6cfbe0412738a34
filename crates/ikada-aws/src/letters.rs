//! Dead letters as objects in S3.
//!
//! The engine brings them, one object at a time; here is the bucket, with a client, credentials and an endpoint as the `s3` output has them.

use bytes::Bytes;
use ikada_diag::{Diagnostic, Diagnostics, Spanned, codes};
use ikada_options::{Options, Property, PropertyBag};
use ikada_plugin::{BoxFuture, LetterStore, SendError};

use crate::client::AwsOptions;
use crate::s3::{ObjectHead, ObjectStore, S3Bucket};

/// Where dead letters are brought, as it is written.
#[derive(Debug, Clone)]
pub struct LetterPlace {
    /// The bucket's name.
    pub bucket: Spanned<String>,
    /// What stands before the names of the objects.
    pub prefix: String,
    /// Region of the bucket.
    pub region: Option<Spanned<String>>,
    /// Host of the service, if it is not where AWS has it.
    pub endpoint: Option<Spanned<String>>,
    /// Role to take on first.
    pub role_arn: Option<Spanned<String>>,
}

impl LetterPlace {
    /// The bucket, to which nobody has spoken yet; `None` with a finding if something is wrong.
    pub fn open(self, diags: &mut Diagnostics) -> Option<impl LetterStore + use<>> {
        if self.bucket.value.is_empty() || self.bucket.value.contains(['/', ' ']) {
            let message = format!("`{}` is no bucket name", self.bucket.value);
            let help = "type the name alone; folders belong to `ikada.dlq_s3_prefix`";
            diags.push(Diagnostic::error(codes::BAD_VALUE, message).at(self.bucket.span).help(help));
            return None;
        }
        let region =
            self.region.map(|value| Property::new(Spanned::new("region".to_owned(), value.span), value));
        let mut bag = PropertyBag::new("[SERVICE]", self.bucket.span, region.into_iter().collect());
        let mut options = AwsOptions::parse(&mut bag, diags)?;
        (options.endpoint, options.role_arn) = (self.endpoint, self.role_arn);
        let destination = options.destination(None, &bag, None, diags)?;
        let prefix = self.prefix.trim_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let place = format!("s3://{}/{prefix}", self.bucket.value);
        let bucket = S3Bucket::new(destination, self.bucket.value, ObjectHead::default());
        Some(Letters { bucket, prefix, place })
    }
}

struct Letters {
    bucket: S3Bucket,
    prefix: String,
    place: String,
}

impl LetterStore for Letters {
    fn put<'a>(&'a self, name: &'a str, body: Bytes) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(async move {
            let key = format!("{}{name}", self.prefix);
            self.bucket.put(&key, body).await.map_err(|failure| failure.cause)
        })
    }

    fn place(&self) -> &str {
        &self.place
    }
}
