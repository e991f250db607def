//! Options for how much may be published, the same for users and roles.

use access::{PublishBudget, Rate};
use clap::Args;
use serde_json::{Map, Value, json};

/// The budget of something new.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct NewBudget {
    /// Publish at most so many messages or bytes a second, and so many at once after a silence: `messages=100:200,bytes=65536`
    #[arg(long, value_name = "messages=N[:BURST],bytes=N[:BURST]")]
    publish_budget: Option<PublishBudget>,
}

/// A change of the budget of something that exists.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct BudgetChange {
    #[command(flatten)]
    set: NewBudget,
    /// Publish as much as the other limits allow
    #[arg(long, conflicts_with = "publish_budget")]
    no_publish_budget: bool,
}

impl NewBudget {
    /// Puts the budget into a REST object, if one is given.
    pub(super) fn put(&self, object: &mut Map<String, Value>) {
        if let Some(budget) = self.publish_budget {
            object.insert(FIELD.to_owned(), to_json(budget));
        }
    }
}

impl BudgetChange {
    /// Puts the change into a REST object, if there is one.
    pub(super) fn put(&self, object: &mut Map<String, Value>) {
        self.set.put(object);
        if self.no_publish_budget {
            object.insert(FIELD.to_owned(), Value::Null);
        }
    }

    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.set.publish_budget.is_none() && !self.no_publish_budget
    }
}

/// The budget of a REST object, as the option writes it; empty if there is none.
pub(super) fn shown(object: &Value) -> String {
    let rate = |word: &str| {
        let number = |suffix: &str| {
            let field = object.get(FIELD)?.get(format!("{word}{suffix}"))?;
            field.as_u64()
        };
        number("PerSecond").map(|per_s| match number("Burst") {
            Some(burst) => format!("{word}={per_s}:{burst}"),
            None => format!("{word}={per_s}"),
        })
    };
    ["messages", "bytes"].into_iter().filter_map(rate).collect::<Vec<_>>().join(",")
}

fn to_json(budget: PublishBudget) -> Value {
    let mut object = Map::new();
    for (word, rate) in [("messages", budget.messages), ("bytes", budget.bytes)] {
        if let Some(Rate { per_s, burst }) = rate {
            object.insert(format!("{word}PerSecond"), json!(per_s.get()));
            object.insert(format!("{word}Burst"), json!(burst.get()));
        }
    }
    Value::Object(object)
}

const FIELD: &str = "publishBudget";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_reads_as_it_is_written() {
        for text in ["messages=5:6", "bytes=7:8", "messages=1:2,bytes=3:4"] {
            let mut object = Map::new();
            NewBudget { publish_budget: text.parse().ok() }.put(&mut object);
            assert_eq!(shown(&Value::Object(object)), text);
        }
        assert_eq!(shown(&json!({"publishBudget": null})), "");
    }
}
