//! Why a user may or may not do something: the broker's own answer, with the rules that decided.

use access::{Decision, Denial, Explanation, Request, Rights};
use topic::SubscriptionFilter;

use crate::admin::Admin;
use crate::caller::Caller;
use crate::error::AdminError;
use crate::model::{EffectModel, ExplainQuery, ExplainView, OperationModel};
use crate::users;
use crate::view;

impl Admin {
    /// Answers as the broker would if the user's client asked now. A disabled user may do nothing.
    ///
    /// # Errors
    /// If there is no such user.
    pub fn explain(&self, _: &Caller, query: &ExplainQuery) -> Result<ExplainView, AdminError> {
        let directory = self.shared.directory.read();
        let user = users::found(&directory, &query.user)?.user();
        let policy = self.shared.policy.load();
        let explanation =
            match policy.rights(user.id, query.client_id.as_deref().unwrap_or_default()) {
                Some(rights) => judge(&rights, query),
                None => denied(&query.resource, Denial::Gone),
            };
        Ok(shown(user.name.as_str(), query.operation, &query.resource, &explanation))
    }
}

/// An explanation as it is shown.
pub(crate) fn shown(
    user: &str,
    operation: OperationModel,
    resource: &str,
    explanation: &Explanation,
) -> ExplainView {
    ExplainView {
        decision: EffectModel::from(explanation.decision),
        user: user.to_owned(),
        operation,
        resource: resource.to_owned(),
        effective_resource: explanation.resource.clone(),
        reason: reason(explanation),
        because: explanation.because.iter().map(view::rule).collect(),
    }
}

fn judge(rights: &Rights, query: &ExplainQuery) -> Explanation {
    let resource = query.resource.as_str();
    let read = || match SubscriptionFilter::parse(resource) {
        Ok(filter) => rights.explain(Request::Subscribe(&filter)),
        Err(error) => denied(resource, Denial::InvalidTopic(error)),
    };
    let write = || rights.explain(Request::Publish(resource));
    match query.operation {
        OperationModel::Read => read(),
        OperationModel::Write => write(),
        OperationModel::ReadWrite => {
            let (read, mut write) = (read(), write());
            if read.decision == Decision::Deny || write.decision == Decision::Deny {
                return if read.decision == Decision::Deny { read } else { write };
            }
            write.is_filtered = read.is_filtered;
            write.because.extend(read.because);
            write
        }
    }
}

/// A denial that no rule decided.
pub(crate) fn denied(resource: &str, denial: Denial) -> Explanation {
    Explanation {
        decision: Decision::Deny,
        resource: resource.to_owned(),
        denial: Some(denial),
        because: Vec::new(),
        is_filtered: false,
    }
}

fn reason(explanation: &Explanation) -> String {
    match (&explanation.denial, explanation.is_filtered) {
        (Some(denial), _) => denial.to_string(),
        (None, true) => "allowed, but a part of the filter is denied and not delivered".to_owned(),
        (None, false) => "allowed".to_owned(),
    }
}
