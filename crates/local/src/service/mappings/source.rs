//! Event sources by the shape of their ARN, and which members of a mapping each of them takes.
//!
//! What is allowed where follows the API's documentation of `CreateEventSourceMapping`. Never
//! looks at a member's value.

/// What a mapping reads from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A queue of SQS.
    Sqs {
        /// Whether it keeps its messages' order.
        fifo: bool,
    },
    /// A Kinesis stream or one of its consumers.
    Kinesis,
    /// The stream of a DynamoDB table.
    DynamoDb,
    /// A managed Kafka cluster.
    Msk,
    /// A Kafka cluster anywhere.
    SelfManagedKafka,
    /// A broker of Amazon MQ.
    Mq,
    /// A DocumentDB cluster.
    DocumentDb,
}

impl Source {
    /// The source of an ARN.
    pub(crate) fn of_arn(arn: &str) -> Option<Self> {
        let parts: Vec<_> = arn.splitn(6, ':').collect();
        let ["arn", _, service, region, account, resource] = parts[..] else {
            return None;
        };
        if region.is_empty() || account.len() != 12 || resource.is_empty() {
            return None;
        }
        match service {
            "sqs" if !resource.contains(':') => Some(Self::Sqs { fifo: resource.ends_with(".fifo") }),
            "kinesis" if resource.starts_with("stream/") => Some(Self::Kinesis),
            "dynamodb" if resource.starts_with("table/") && resource.contains("/stream/") => {
                Some(Self::DynamoDb)
            }
            "kafka" if resource.starts_with("cluster/") || resource.starts_with("vpc-connection/") => {
                Some(Self::Msk)
            }
            "mq" if resource.starts_with("broker:") => Some(Self::Mq),
            "rds" if resource.starts_with("cluster:") => Some(Self::DocumentDb),
            _ => None,
        }
    }

    /// The service's name in texts.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::Sqs { .. } => "SQS",
            Self::Kinesis => "Kinesis",
            Self::DynamoDb => "DynamoDB Streams",
            Self::Msk => "MSK",
            Self::SelfManagedKafka => "Kafka",
            Self::Mq => "MQ",
            Self::DocumentDb => "DocumentDB",
        }
    }

    /// Kinesis and DynamoDB: records in shards.
    pub(crate) fn has_shards(self) -> bool {
        matches!(self, Self::Kinesis | Self::DynamoDb)
    }

    /// Kafka, managed or not.
    pub(crate) fn is_kafka(self) -> bool {
        matches!(self, Self::Msk | Self::SelfManagedKafka)
    }

    /// Whether one says where reading begins.
    pub(crate) fn takes_position(self) -> bool {
        !matches!(self, Self::Sqs { .. } | Self::Mq)
    }

    /// Whether reading begins nowhere unless one says where.
    pub(crate) fn needs_position(self) -> bool {
        self.has_shards() || self.is_kafka()
    }

    /// Whether a mapping of this source may have a member.
    pub(crate) fn takes(self, member: &str) -> bool {
        let sqs = matches!(self, Self::Sqs { .. });
        match member {
            "ScalingConfig" => sqs,
            "ParallelizationFactor" | "TumblingWindowInSeconds" => self.has_shards(),
            "DestinationConfig"
            | "MaximumRecordAgeInSeconds"
            | "BisectBatchOnFunctionError"
            | "MaximumRetryAttempts" => self.has_shards() || self.is_kafka(),
            "FunctionResponseTypes" => sqs || self.has_shards() || self.is_kafka(),
            "Topics" | "LoggingConfig" => self.is_kafka(),
            "ProvisionedPollerConfig" => sqs || self.is_kafka(),
            "Queues" => self == Self::Mq,
            "SourceAccessConfigurations" => self.is_kafka() || matches!(self, Self::Mq | Self::DocumentDb),
            "AmazonManagedKafkaEventSourceConfig" => self == Self::Msk,
            "SelfManagedKafkaEventSourceConfig" | "SelfManagedEventSource" => self == Self::SelfManagedKafka,
            "DocumentDBEventSourceConfig" => self == Self::DocumentDb,
            _ => true,
        }
    }

    /// What a new mapping must have.
    pub(crate) fn needs(self) -> &'static [&'static str] {
        match self {
            Self::Sqs { .. } | Self::Kinesis | Self::DynamoDb => &[],
            Self::Msk => &["Topics"],
            Self::SelfManagedKafka => &["SourceAccessConfigurations", "Topics"],
            Self::Mq => &["Queues", "SourceAccessConfigurations"],
            Self::DocumentDb => &["SourceAccessConfigurations", "DocumentDBEventSourceConfig"],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arn: &str) -> String {
        format!("{:?}", Source::of_arn(arn))
    }

    #[test]
    fn sources_are_known_by_their_arns() {
        insta::assert_snapshot!(check("arn:aws:sqs:us-east-1:123456789012:q"), @"Some(Sqs { fifo: false })");
        insta::assert_snapshot!(check("arn:aws:sqs:us-east-1:123456789012:q.fifo"), @"Some(Sqs { fifo: true })");
        insta::assert_snapshot!(check("arn:aws:kinesis:us-east-1:123456789012:stream/s"), @"Some(Kinesis)");
        insta::assert_snapshot!(check("arn:aws:kinesis:us-east-1:123456789012:stream/s/consumer/c:1"), @"Some(Kinesis)");
        insta::assert_snapshot!(check("arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/2026-01-01T00:00:00.000"), @"Some(DynamoDb)");
        insta::assert_snapshot!(check("arn:aws:dynamodb:us-east-1:123456789012:table/t"), @"None");
        insta::assert_snapshot!(check("arn:aws:kafka:us-east-1:123456789012:cluster/c/1"), @"Some(Msk)");
        insta::assert_snapshot!(check("arn:aws:mq:us-east-1:123456789012:broker:b:b-1"), @"Some(Mq)");
        insta::assert_snapshot!(check("arn:aws:rds:us-east-1:123456789012:cluster:c"), @"Some(DocumentDb)");
        insta::assert_snapshot!(check("arn:aws:s3:::bucket"), @"None");
    }
}
