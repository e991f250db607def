//! How much may be published, as REST and the command line exchange it.

use std::num::NonZeroU32;

use access::{PublishBudget, Rate};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::AdminError;

/// How much a user may publish over all its connections together; of its own budget and those of its roles the
/// narrowest holds, for messages and for bytes apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PublishBudgetModel {
    /// Messages a second in the long run; absent is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4_294_967_295_i64)]
    pub messages_per_second: Option<u32>,
    /// Messages that may come at once after a time of silence; as many as a second's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4_294_967_295_i64)]
    pub messages_burst: Option<u32>,
    /// Bytes (topic, properties and payload) a second in the long run; absent is no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4_294_967_295_i64)]
    pub bytes_per_second: Option<u32>,
    /// Bytes that may come at once after a time of silence; as many as a second's if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>, minimum = 1, maximum = 4_294_967_295_i64)]
    pub bytes_burst: Option<u32>,
}

/// The budget asked for; none is no bound.
pub(crate) fn parse(asked: Option<&PublishBudgetModel>) -> Result<PublishBudget, AdminError> {
    let Some(asked) = asked else { return Ok(PublishBudget::default()) };
    let budget = PublishBudget {
        messages: rate("messages", asked.messages_per_second, asked.messages_burst)?,
        bytes: rate("bytes", asked.bytes_per_second, asked.bytes_burst)?,
    };
    if budget.is_unbounded() {
        let reason = "gives neither messagesPerSecond nor bytesPerSecond (null is no bound)";
        return Err(AdminError::invalid("publishBudget", reason));
    }
    Ok(budget)
}

fn rate(what: &str, per_s: Option<u32>, burst: Option<u32>) -> Result<Option<Rate>, AdminError> {
    let field = |name: &str| format!("publishBudget.{what}{name}");
    let Some(per_s) = per_s else {
        return match burst {
            None => Ok(None),
            Some(_) => {
                let reason = format!("is given without {what}PerSecond");
                Err(AdminError::invalid(field("Burst"), reason))
            }
        };
    };
    let positive = |name: &str, number| {
        NonZeroU32::new(number)
            .ok_or_else(|| AdminError::invalid(field(name), "must be at least 1"))
    };
    let per_s = positive("PerSecond", per_s)?;
    let burst = burst.map(|burst| positive("Burst", burst)).transpose()?;
    Ok(Some(Rate { per_s, burst: burst.unwrap_or(per_s) }))
}

/// A budget as it is shown; `None` for no bound.
pub(crate) fn shown(budget: PublishBudget) -> Option<PublishBudgetModel> {
    let PublishBudget { messages, bytes } = budget;
    (!budget.is_unbounded()).then(|| PublishBudgetModel {
        messages_per_second: messages.map(|rate| rate.per_s.get()),
        messages_burst: messages.map(|rate| rate.burst.get()),
        bytes_per_second: bytes.map(|rate| rate.per_s.get()),
        bytes_burst: bytes.map(|rate| rate.burst.get()),
    })
}
