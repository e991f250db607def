//! What a policy file changes, as lines for a person.

use serde_json::Value;

use crate::cli::answer::printable;

/// One line a change, and one below it for each field that differs.
pub(in crate::cli) fn steps(steps: &[Value]) -> String {
    if steps.is_empty() {
        return "no changes".to_owned();
    }
    let lines: Vec<_> = steps.iter().flat_map(step).map(|line| printable(&line)).collect();
    lines.join("\n")
}

fn step(step: &Value) -> Vec<String> {
    let action = step.get("action").and_then(Value::as_str).unwrap_or_default();
    let target = step.get("target");
    let name = |kind| target.and_then(|target| target.get(kind)).and_then(Value::as_str);
    let target = name("user").or_else(|| name("role")).unwrap_or_default();
    let mut lines = vec![format!("{action} {target}")];
    for (sign, side) in [("-", "before"), ("+", "after")] {
        let Some(fields) = step.get(side).and_then(Value::as_object) else { continue };
        for (name, value) in fields {
            match value {
                Value::Array(values) => {
                    lines.extend(values.iter().map(|value| field(sign, name, value)));
                }
                value => lines.push(field(sign, name, value)),
            }
        }
    }
    lines
}

fn field(sign: &str, name: &str, value: &Value) -> String {
    match value {
        Value::String(text) => format!("  {sign} {name}: {text}"),
        value => format!("  {sign} {name}: {value}"),
    }
}
