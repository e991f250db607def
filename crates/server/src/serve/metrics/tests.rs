use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{FAMILIES, Kind};
use super::text::Samples;
use crate::serve::histogram::Histogram;

fn is_name(text: &str) -> bool {
    let is_first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
    text.starts_with(is_first) && text.chars().all(|it| is_first(it) || it.is_ascii_digit())
}

#[test]
fn names_keep_to_the_conventions_and_each_is_there_once() {
    let mut seen = BTreeSet::new();
    for family in FAMILIES {
        let name = family.name;
        assert!(seen.insert(name), "{name} is there twice");
        assert!(is_name(name), "{name}");
        assert!(name.starts_with("countersign_") || name.starts_with("process_"), "{name}");
        assert_eq!(name.ends_with("_total"), family.kind == Kind::Counter, "{name}");
        assert!(family.labels.iter().all(|label| is_name(label) && *label != "le"), "{name}");
        assert!(family.help.ends_with('.') && !family.help.contains('\n'), "{name}");
        for suffix in ["_count", "_sum", "_bucket"] {
            assert!(!name.ends_with(suffix), "{name}");
        }
        if family.kind == Kind::Histogram {
            assert!(name.ends_with("_seconds"), "{name}");
        }
    }
}

#[test]
fn values_of_labels_are_escaped_and_families_stay_together() {
    let mut samples = Samples::new();
    samples.put("countersign_logins_total", &["a\"b\\c\nd", "x"], 1);
    samples.put("countersign_uptime_seconds", &[], 7);
    samples.put("countersign_logins_total", &["mqtt", "x"], 2);
    let text = samples.text();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(
        lines,
        [
            "countersign_uptime_seconds 7",
            r#"countersign_logins_total{listener="a\"b\\c\nd",result="x"} 1"#,
            r#"countersign_logins_total{listener="mqtt",result="x"} 2"#,
        ]
    );
}

#[test]
fn a_histogram_is_written_with_all_that_belongs_to_it() {
    let histogram = Histogram::default();
    histogram.count(std::time::Duration::from_millis(3));
    let mut samples = Samples::new();
    samples.put_times("countersign_shard_round_seconds", &["0"], &histogram.times());
    let text = samples.text();
    for line in [
        "# TYPE countersign_shard_round_seconds histogram",
        r#"countersign_shard_round_seconds_bucket{shard="0",le="0.001"} 0"#,
        r#"countersign_shard_round_seconds_bucket{shard="0",le="0.005"} 1"#,
        r#"countersign_shard_round_seconds_bucket{shard="0",le="+Inf"} 1"#,
        r#"countersign_shard_round_seconds_sum{shard="0"} 0.003"#,
        r#"countersign_shard_round_seconds_count{shard="0"} 1"#,
    ] {
        assert!(text.lines().any(|it| it == line), "no {line} in\n{text}");
    }
}

/// The page is made from the catalog: a name that changes here changes there.
#[test]
fn reference_the_page_of_metrics_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(found == page, "docs/metrics.md is not what the catalog says: set UPDATE_DOCS=1");
}

fn page() -> String {
    let mut groups: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for family in FAMILIES {
        let labels: Vec<_> = family.labels.iter().map(|it| format!("`{it}`")).collect();
        let row = format!(
            "| `{}` | {} | {} | {} |\n",
            family.name,
            family.kind.word(),
            labels.join(", "),
            family.help
        );
        let is_own = family.name.starts_with("countersign_");
        groups.entry(usize::from(!is_own)).or_default().push(row);
    }
    let table = |rows: &[String]| {
        format!(
            "| name | kind | labels | what it is |\n| --- | --- | --- | --- |\n{}",
            rows.concat()
        )
    };
    let [own, process] = [0, 1].map(|group| table(&groups[&group]));
    format!(
        "<!-- Made by `UPDATE_DOCS=1 cargo nextest run -p server reference_the_page_of`; do not edit. -->\n\
         # Metrics\n\n\
         `GET /metrics` on the HTTPS listener and on the administration socket, as Prometheus text. It takes the permission\n\
         `http:read:/metrics`, unless `metrics.public` is true. Values of labels are words of closed sets, names of listeners\n\
         and limits, and numbers of shards: no user, client or topic can make a new one. A metric without a sample so far is\n\
         left out.\n\n{own}\n## Of the process\n\n{process}\n\
         ## What is worth an alert\n\
         - `countersign_limit_used / (countersign_limit > 0) > 0.8`: a bound is near.\n\
         - `countersign_memory_level > 0`: publishers are slowed; at 2 what needs more memory is refused.\n\
         - `rate(countersign_messages_dropped_total[5m]) > 0`, by `rule`: receivers are too slow, or gone for too long.\n\
         - `countersign_state_failing > 0`, or `increase(countersign_state_failures_total[5m]) > 0`: the disk does not take what\n\
           must be durable. At 1 it is full, at 2 broken, at 3 silent.\n\
         - `rate(countersign_logins_total{{result!=\"accepted\"}}[5m])`: somebody is knocking.\n\
         - `countersign_shard_round_longest_seconds > 0.1`: a shard had too much to do at once.\n"
    )
}
