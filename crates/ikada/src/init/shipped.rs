//! Files that AWS's image of Fluent Bit has from the start, and that task definitions name. Ikada's image has files of the same names;
//! without it, as on a laptop or an EC2 instance, these are built in.

use std::path::Path;

/// Paths with their texts.
const SHIPPED: &[(&str, &str)] = &[
    ("/ecs/amazon-es.conf", include_str!("../../../../docker/ecs/amazon-es.conf")),
    ("/ecs/cloudwatch.conf", include_str!("../../../../docker/ecs/cloudwatch.conf")),
    ("/ecs/ecs-metadata.conf", include_str!("../../../../docker/ecs/ecs-metadata.conf")),
    ("/ecs/filter-parser.conf", include_str!("../../../../docker/ecs/filter-parser.conf")),
    ("/ecs/firehose.conf", include_str!("../../../../docker/ecs/firehose.conf")),
    ("/ecs/input-forward.conf", include_str!("../../../../docker/ecs/input-forward.conf")),
    ("/ecs/kinesis.conf", include_str!("../../../../docker/ecs/kinesis.conf")),
    ("/ecs/s3.conf", include_str!("../../../../docker/ecs/s3.conf")),
    ("/ecs/service.conf", include_str!("../../../../docker/ecs/service.conf")),
    ("/fluent-bit/etc/parsers.conf", include_str!("../../../../docker/parsers.conf")),
    ("/fluent-bit/parsers/parsers.conf", include_str!("../../../../docker/parsers.conf")),
    (
        "/fluent-bit/configs/minimize-log-loss.conf",
        include_str!("../../../../docker/configs/minimize-log-loss.conf"),
    ),
    (
        "/fluent-bit/configs/output-metrics-healthcheck.conf",
        include_str!("../../../../docker/configs/output-metrics-healthcheck.conf"),
    ),
    ("/fluent-bit/configs/parse-json.conf", include_str!("../../../../docker/configs/parse-json.conf")),
    (
        "/fluent-bit/configs/plugin-and-storage-metrics-to-cloudwatch.conf",
        include_str!("../../../../docker/configs/plugin-and-storage-metrics-to-cloudwatch.conf"),
    ),
    (
        "/fluent-bit/configs/plugin-metrics-parser.conf",
        include_str!("../../../../docker/configs/plugin-metrics-parser.conf"),
    ),
    (
        "/fluent-bit/configs/plugin-metrics-to-cloudwatch.conf",
        include_str!("../../../../docker/configs/plugin-metrics-to-cloudwatch.conf"),
    ),
];

/// The text of a file of the image.
pub(crate) fn text(path: &Path) -> Option<&'static str> {
    SHIPPED.iter().find(|(known, _)| Path::new(known) == path).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use ikada_config::{MapEnv, load};

    use super::*;
    use crate::assemble::assemble;
    use crate::init::Overlay;
    use crate::plugins;

    #[test]
    fn every_file_of_the_image_loads_but_for_the_plugin_that_is_not_there() {
        let variables = [
            "AWS_REGION",
            "BUCKET",
            "DELIVERY_STREAM",
            "ECS_CLUSTER",
            "ECS_TASK_ARN",
            "ECS_TASK_DEFINITION",
            "ES_ENDPOINT",
            "ES_REGION",
            "FIREHOSE_REGION",
            "FLUENT_BIT_METRICS_LOG_GROUP",
            "FLUENT_BIT_METRICS_LOG_REGION",
            "HOSTNAME",
            "INDEX",
            "KINESIS_REGION",
            "S3_REGION",
            "STREAM",
            "TASK_ID",
            "TYPE",
        ];
        let env = variables.iter().fold(MapEnv::new(), |env, name| env.with(*name, "some"));
        let env = env.with("PARSER_NAME", "json");
        let (files, root) = (Overlay::alone(), Path::new("/"));
        for (path, _) in SHIPPED {
            let mut loaded = load(Path::new(path), &files, &env, root);
            loaded.add_named_files(&files, &env, root);
            assemble(&mut loaded, &plugins::registry(), true);
            let lines: Vec<_> = loaded.diagnostics.lines(&loaded.sources).collect();
            let wrong: Vec<_> = lines.iter().filter(|line| line.contains(": error[")).collect();
            match path.contains("amazon-es") {
                true => {
                    assert!(wrong.len() == 1 && wrong[0].contains("error[unsupported-plugin]"), "{wrong:?}")
                }
                false => assert!(wrong.is_empty(), "{wrong:?}"),
            }
        }
        assert_eq!(files.assumed(), [""; 0].map(std::path::PathBuf::from));
    }

    #[test]
    fn every_file_in_the_folders_of_the_image_is_shipped() {
        let docker = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docker");
        let mut count = 0;
        for (folder, there) in [("configs", "/fluent-bit/configs"), ("ecs", "/ecs")] {
            for entry in std::fs::read_dir(docker.join(folder)).unwrap() {
                let entry = entry.unwrap();
                let content = std::fs::read_to_string(entry.path()).unwrap();
                assert_eq!(text(&Path::new(there).join(entry.file_name())), Some(&*content), "{entry:?}");
                count += 1;
            }
        }
        // The parsers file lies in two places.
        assert_eq!(count, SHIPPED.len() - 2);
        assert_eq!(text(Path::new("/ecs/other.conf")), None);
    }
}
