//! Credentials from a URL of the user's own, which answers as that of ECS does.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::Value;

use super::http::IkadaHttp;

/// How long the answer may take.
const ANSWER: Duration = Duration::from_secs(5);

/// Asks a URL.
#[derive(Debug)]
pub(super) struct UrlCredentials {
    pub(super) http: IkadaHttp,
    pub(super) url: String,
}

impl UrlCredentials {
    async fn ask(&self) -> Result<Credentials, CredentialsError> {
        let (status, body) =
            self.http.get(&self.url, ANSWER).await.map_err(CredentialsError::provider_error)?;
        if status != http::StatusCode::OK {
            return Err(CredentialsError::provider_error(format!("{}: HTTP status {status}", self.url)));
        }
        let answer: Value = serde_json::from_slice(&body).map_err(CredentialsError::provider_error)?;
        read(&answer).ok_or_else(|| {
            CredentialsError::provider_error(format!("{}: the answer holds no credentials", self.url))
        })
    }
}

fn read(answer: &Value) -> Option<Credentials> {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
    let end = text("Expiration")
        .and_then(|end| DateTime::from_str(&end, Format::DateTimeWithOffset).ok())
        .and_then(|end| SystemTime::try_from(end).ok());
    Some(Credentials::new(
        text("AccessKeyId")?,
        text("SecretAccessKey")?,
        text("Token"),
        end,
        "credentials_endpoint",
    ))
}

impl ProvideCredentials for UrlCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.ask())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn credentials_are_read_with_their_end() {
        let answer = json!({"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t", "Expiration": "2026-11-22T10:00:00Z"});
        let read = super::read(&answer).unwrap();
        assert_eq!((read.access_key_id(), read.session_token()), ("a", Some("t")));
        assert_eq!(
            read.expiry().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(),
            1_795_341_600
        );
        assert!(super::read(&json!({"AccessKeyId": "a"})).is_none());
    }
}
