//! STS: roles assumed, identity told. Requests are forms, in the body or in the query; answers are XML.

use crate::call::{Call, Reply, query_value, xml_escape};
use crate::credentials::Issued;
use crate::error::ApiError;
use crate::s3::iso_date;
use crate::shared::Shared;

const NAMESPACE: &str = "xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"";

/// The value of a form parameter.
pub(crate) fn parameter(call: &Call, name: &str) -> Option<String> {
    let in_body = std::str::from_utf8(&call.body).ok().and_then(|form| query_value(form, name));
    in_body.or_else(|| call.query(name))
}

/// The operation that a form asks for.
pub(crate) fn operation(call: &Call) -> String {
    parameter(call, "Action").unwrap_or_default()
}

/// Says whether the operation works without a signature.
pub(crate) fn is_unsigned(operation: &str) -> bool {
    operation == "AssumeRoleWithWebIdentity"
}

pub(crate) fn handle(shared: &Shared, operation: &str, call: &Call, id: &str) -> Result<Reply, ApiError> {
    let result = match operation {
        "AssumeRole" => assume(shared, call)?,
        "AssumeRoleWithWebIdentity" => {
            required(call, "WebIdentityToken")?;
            assume(shared, call)?
        }
        "GetCallerIdentity" => {
            let account = &shared.config.task.account;
            format!(
                "<Arn>arn:aws:iam::{account}:root</Arn><UserId>{account}</UserId><Account>{account}</Account>"
            )
        }
        _ => {
            let text = format!("Could not find operation {operation} for version 2011-06-15");
            return Err(ApiError::new(400, "InvalidAction", text));
        }
    };
    let body = format!(
        "<{operation}Response {NAMESPACE}><{operation}Result>{result}</{operation}Result>\
         <ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>"
    );
    Ok(Reply::typed("text/xml", body))
}

fn required(call: &Call, name: &str) -> Result<String, ApiError> {
    parameter(call, name).filter(|value| !value.is_empty()).ok_or_else(|| {
        let member = name.to_string();
        let text = format!(
            "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
        );
        ApiError::new(400, "ValidationError", text)
    })
}

fn assume(shared: &Shared, call: &Call) -> Result<String, ApiError> {
    let role = required(call, "RoleArn")?;
    let session = required(call, "RoleSessionName")?;
    let is_good = |c: char| c.is_ascii_alphanumeric() || "_=,.@-".contains(c);
    if !(2..=64).contains(&session.len()) || !session.chars().all(is_good) {
        let text = format!(
            "1 validation error detected: Value '{session}' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*"
        );
        return Err(ApiError::new(400, "ValidationError", text));
    }
    let issued = shared.issuer.issue(shared.now_ms());
    let arn = format!("{}/{session}", role.replace(":iam:", ":sts:").replace(":role/", ":assumed-role/"));
    Ok(format!(
        "{}<AssumedRoleUser><AssumedRoleId>AROALOCAL:{session}</AssumedRoleId><Arn>{}</Arn></AssumedRoleUser>",
        credentials(&issued),
        xml_escape(&arn)
    ))
}

fn credentials(issued: &Issued) -> String {
    format!(
        "<Credentials><AccessKeyId>{}</AccessKeyId><SecretAccessKey>{}</SecretAccessKey>\
         <SessionToken>{}</SessionToken><Expiration>{}</Expiration></Credentials>",
        issued.access_key,
        issued.secret,
        issued.token,
        iso_date(issued.expires_ms)
    )
}
