//! Prometheus text, version 0.0.4.

use std::fmt::{Display, Write as _};

use super::catalog::{FAMILIES, Kind};
use crate::serve::histogram::Times;

/// Samples, by the place of their family in the catalog.
#[derive(Debug)]
pub(crate) struct Samples(Vec<Vec<String>>);

impl Samples {
    pub(crate) fn new() -> Self {
        Self(FAMILIES.iter().map(|_| Vec::new()).collect())
    }

    /// The value of a metric; its labels have these values.
    pub(crate) fn put(&mut self, name: &'static str, labels: &[&str], value: impl Display) {
        let labels = braced(name, labels, None);
        self.push(name, format!("{name}{labels} {value}\n"));
    }

    /// A histogram.
    pub(crate) fn put_times(&mut self, name: &'static str, labels: &[&str], times: &Times) {
        let mut text = String::new();
        let infinite = ("+Inf", times.count);
        for (bound, count) in times.buckets.iter().chain([&infinite]) {
            let labels = braced(name, labels, Some(bound));
            push(&mut text, format_args!("{name}_bucket{labels} {count}\n"));
        }
        let labels = braced(name, labels, None);
        push(&mut text, format_args!("{name}_sum{labels} {}\n", times.sum_s));
        push(&mut text, format_args!("{name}_count{labels} {}\n", times.count));
        self.push(name, text);
    }

    /// All of it, family by family.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        for (family, samples) in FAMILIES.iter().zip(&self.0) {
            if samples.is_empty() {
                continue;
            }
            let (name, kind) = (family.name, family.kind.word());
            push(&mut out, format_args!("# HELP {name} {}\n# TYPE {name} {kind}\n", family.help));
            out.extend(samples.iter().map(String::as_str));
        }
        out
    }

    fn push(&mut self, name: &'static str, text: String) {
        let place = FAMILIES.iter().position(|family| family.name == name);
        debug_assert!(place.is_some(), "`{name}` is not in the catalog");
        if let Some(samples) = place.and_then(|place| self.0.get_mut(place)) {
            samples.push(text);
        }
    }
}

fn braced(name: &str, values: &[&str], bound: Option<&str>) -> String {
    let family = FAMILIES.iter().find(|family| family.name == name);
    let labels = family.map_or(&[][..], |family| family.labels);
    debug_assert_eq!(labels.len(), values.len(), "labels of `{name}`");
    debug_assert_eq!(
        bound.is_some(),
        bound.is_some() && family.is_some_and(|family| family.kind == Kind::Histogram)
    );
    let pairs = labels.iter().copied().zip(values.iter().copied());
    let pairs: Vec<String> = pairs
        .chain(bound.map(|bound| ("le", bound)))
        .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
        .collect();
    if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    out.write_fmt(text).unwrap_or_default();
}
