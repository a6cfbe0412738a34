//! Which call a request's head asks for, and on what.

use http::Method;
use http::request::Parts;

use crate::call::{percent_decode, query_value};

/// A call as its head tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) operation: &'static str,
    pub(crate) bucket: String,
    pub(crate) key: String,
}

impl Target {
    pub(crate) fn of(head: &Parts) -> Self {
        let path = head.uri.path().trim_start_matches('/');
        let (bucket, key) = match virtual_bucket(head) {
            Some(bucket) => (bucket, percent_decode(path, false)),
            None => {
                let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
                (percent_decode(bucket, false), percent_decode(key, false))
            }
        };
        let operation = operation(&head.method, head.uri.query().unwrap_or(""), &bucket, &key);
        Target { operation, bucket, key }
    }
}

/// The bucket in a virtual-hosted name: `bucket.s3.region.any`, `bucket.s3-x.any` or `bucket.localhost`.
fn virtual_bucket(head: &Parts) -> Option<String> {
    let host = head.headers.get(http::header::HOST).and_then(|value| value.to_str().ok())?;
    let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let before = |mark: &str| host.find(mark).and_then(|at| host.get(..at));
    let bucket = before(".s3.").or_else(|| before(".s3-")).or_else(|| host.strip_suffix(".localhost"))?;
    (!bucket.is_empty() && bucket != "s3" && !bucket.starts_with("s3.")).then(|| bucket.to_owned())
}

fn operation(method: &Method, query: &str, bucket: &str, key: &str) -> &'static str {
    let has = |name| query_value(query, name).is_some();
    if bucket.is_empty() {
        return if method == Method::GET { "ListBuckets" } else { "Unknown" };
    }
    if key.is_empty() {
        return match method.as_str() {
            "GET" if has("location") => "GetBucketLocation",
            "GET" if has("uploads") => "ListMultipartUploads",
            "GET" if query_value(query, "list-type").as_deref() == Some("2") => "ListObjectsV2",
            "GET" => "ListObjects",
            "HEAD" => "HeadBucket",
            "PUT" if query.is_empty() => "CreateBucket",
            "DELETE" if query.is_empty() => "DeleteBucket",
            "POST" if has("delete") => "DeleteObjects",
            _ => "Unknown",
        };
    }
    match method.as_str() {
        "PUT" if has("uploadId") => "UploadPart",
        "PUT" => "PutObject",
        "GET" if has("uploadId") => "ListParts",
        "GET" => "GetObject",
        "HEAD" => "HeadObject",
        "DELETE" if has("uploadId") => "AbortMultipartUpload",
        "DELETE" => "DeleteObject",
        "POST" if has("uploads") => "CreateMultipartUpload",
        "POST" if has("uploadId") => "CompleteMultipartUpload",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(method: &str, host: &str, uri: &str) -> (&'static str, String, String) {
        let request = http::Request::builder().method(method).uri(uri).header("host", host);
        let target = Target::of(&request.body(()).unwrap().into_parts().0);
        (target.operation, target.bucket, target.key)
    }

    #[test]
    fn both_address_styles_name_the_same_object() {
        let wanted = ("PutObject", "logs-1".to_owned(), "a/b c".to_owned());
        assert_eq!(target("PUT", "127.0.0.1:99", "/logs-1/a/b%20c"), wanted);
        assert_eq!(target("PUT", "localhost:99", "/logs-1/a/b%20c?x-id=PutObject"), wanted);
        assert_eq!(target("PUT", "s3.ap-northeast-1.localhost:99", "/logs-1/a/b%20c"), wanted);
        assert_eq!(target("PUT", "logs-1.s3.ap-northeast-1.amazonaws.com", "/a/b%20c"), wanted);
        assert_eq!(target("PUT", "logs-1.localhost:99", "/a/b%20c"), wanted);
    }

    #[test]
    fn the_query_tells_the_parts_of_a_multipart_upload_apart() {
        let operation = |method, uri| target(method, "h", uri).0;
        assert_eq!(operation("POST", "/b/k?uploads="), "CreateMultipartUpload");
        assert_eq!(operation("POST", "/b/k?uploads"), "CreateMultipartUpload");
        assert_eq!(operation("PUT", "/b/k?partNumber=1&uploadId=u"), "UploadPart");
        assert_eq!(operation("POST", "/b/k?uploadId=u"), "CompleteMultipartUpload");
        assert_eq!(operation("DELETE", "/b/k?uploadId=u"), "AbortMultipartUpload");
        assert_eq!(operation("GET", "/b/k?uploadId=u"), "ListParts");
        assert_eq!(operation("GET", "/b?uploads"), "ListMultipartUploads");
        assert_eq!(operation("GET", "/b/?list-type=2"), "ListObjectsV2");
        assert_eq!(operation("HEAD", "/b"), "HeadBucket");
    }
}
