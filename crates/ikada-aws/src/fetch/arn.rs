//! The name of an object, as people write it.

use std::fmt;

/// Why a text names no object in S3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArnError {
    /// It is neither an ARN nor an `s3://` address.
    #[error("is no ARN of an S3 object")]
    NoArn,
    /// It is an ARN of something else.
    #[error("is an ARN, but of nothing in S3")]
    OtherService,
    /// It names a bucket and nothing in it.
    #[error("names a bucket, but no object in it")]
    NoKey,
    /// It names an access point.
    #[error("names an access point, which is not supported here")]
    AccessPoint,
}

/// An object in S3.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObjectArn {
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    pub partition: String,
    /// The bucket.
    pub bucket: String,
    /// The key in the bucket.
    pub key: String,
}

impl ObjectArn {
    /// Reads `arn:<partition>:s3:::<bucket>/<key>` or `s3://<bucket>/<key>`.
    ///
    /// # Errors
    /// See [`ArnError`].
    pub fn parse(text: &str) -> Result<Self, ArnError> {
        if let Some(rest) = strip_prefix_any_case(text, "s3://") {
            return Self::of_path("aws", rest);
        }
        let mut parts = text.splitn(6, ':');
        let mut part = || parts.next().ok_or(ArnError::NoArn);
        let (arn, partition, service) = (part()?, part()?, part()?);
        if arn != "arn" || !(partition == "aws" || partition.starts_with("aws-")) {
            return Err(ArnError::NoArn);
        }
        if service != "s3" {
            return Err(ArnError::OtherService);
        }
        let (region, account, path) = (part()?, part()?, part()?);
        if !region.is_empty() || !account.is_empty() || path.starts_with("accesspoint") && path.contains(':')
        {
            return Err(ArnError::AccessPoint);
        }
        Self::of_path(partition, path)
    }

    fn of_path(partition: &str, path: &str) -> Result<Self, ArnError> {
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() || key.is_empty() {
            return Err(ArnError::NoKey);
        }
        Ok(Self { partition: partition.to_owned(), bucket: bucket.to_owned(), key: key.to_owned() })
    }

    /// The region that is asked first when nothing says where the task runs: the first one of the partition.
    #[must_use]
    pub fn usual_region(&self) -> &'static str {
        match self.partition.as_str() {
            "aws-cn" => "cn-north-1",
            "aws-us-gov" => "us-gov-west-1",
            "aws-iso" => "us-iso-east-1",
            "aws-iso-b" => "us-isob-east-1",
            "aws-iso-e" => "eu-isoe-west-1",
            "aws-iso-f" => "us-isof-south-1",
            "aws-eusc" => "eusc-de-east-1",
            _ => "us-east-1",
        }
    }

    /// Whether a region lies in this object's partition.
    #[must_use]
    pub fn is_reached_from(&self, region: &str) -> bool {
        partition_of(region) == self.partition
    }
}

/// The partition that a region belongs to.
fn partition_of(region: &str) -> &'static str {
    const STARTS: &[(&str, &str)] = &[
        ("cn-", "aws-cn"),
        ("us-gov-", "aws-us-gov"),
        ("us-iso-", "aws-iso"),
        ("us-isob-", "aws-iso-b"),
        ("eu-isoe-", "aws-iso-e"),
        ("us-isof-", "aws-iso-f"),
        ("eusc-", "aws-eusc"),
    ];
    STARTS.iter().find(|(start, _)| region.starts_with(start)).map_or("aws", |(_, partition)| partition)
}

fn strip_prefix_any_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let start = text.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

impl fmt::Display for ObjectArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "arn:{}:s3:::{}/{}", self.partition, self.bucket, self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_in_any_partition() {
        let of = |text: &str| ObjectArn::parse(text).map(|arn| (arn.partition, arn.bucket, arn.key));
        let object = |partition: &str| Ok((partition.to_owned(), "conf".to_owned(), "a/b.conf".to_owned()));
        assert_eq!(of("arn:aws:s3:::conf/a/b.conf"), object("aws"));
        assert_eq!(of("arn:aws-cn:s3:::conf/a/b.conf"), object("aws-cn"));
        assert_eq!(of("arn:aws-us-gov:s3:::conf/a/b.conf"), object("aws-us-gov"));
        assert_eq!(of("S3://conf/a/b.conf"), object("aws"));
        let arn = ObjectArn::parse("s3://conf/a:b.conf").unwrap();
        assert_eq!(arn.to_string(), "arn:aws:s3:::conf/a:b.conf");
        assert_eq!(ObjectArn::parse(&arn.to_string()), Ok(arn));
    }

    #[test]
    fn what_names_no_object_says_why() {
        let of = |text| ObjectArn::parse(text).unwrap_err();
        assert_eq!(of("/fluent-bit/etc/extra.conf"), ArnError::NoArn);
        assert_eq!(of("https://conf.s3.amazonaws.com/a"), ArnError::NoArn);
        assert_eq!(of("arn:aws:s3:::conf"), ArnError::NoKey);
        assert_eq!(of("arn:aws:s3:::conf/"), ArnError::NoKey);
        assert_eq!(of("s3://conf"), ArnError::NoKey);
        assert_eq!(of("arn:aws:ssm:eu-west-1:1:parameter/x"), ArnError::OtherService);
        assert_eq!(of("arn:aws:s3:eu-west-1:123456789012:accesspoint/x/object/k"), ArnError::AccessPoint);
    }

    #[test]
    fn a_region_belongs_to_one_partition() {
        let arn = |partition: &str| ObjectArn::parse(&format!("arn:{partition}:s3:::b/k")).unwrap();
        assert!(arn("aws").is_reached_from("ap-northeast-1") && !arn("aws").is_reached_from("cn-north-1"));
        assert!(arn("aws-cn").is_reached_from("cn-northwest-1"));
        assert!(arn("aws-us-gov").is_reached_from("us-gov-east-1"));
        for partition in ["aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b", "aws-eusc"] {
            assert!(arn(partition).is_reached_from(arn(partition).usual_region()), "{partition}");
        }
    }
}
