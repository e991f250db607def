//! What one user may do with one client id, by one policy.

use crate::decide::{Question, Rulebook, Subject, Thoroughness, Verdict, Witness, decide};
use crate::permission::Action;
use crate::resource::requested_path;
use crate::rules::Rules;
use crate::{
    Because, CompiledRole, CompiledUser, Context, Decision, Denial, Effect, Explanation,
    HttpPermit, Operation, Policy, PublishBudget, PublishPermit, PublishPrefix, Request,
    SubscribePermit, UserId, UserName,
};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::sync::Arc;
use topic::{Bindings, SubscriptionFilter, TopicError, TopicName};

/// What one user may do with one client id, by one policy. Cheap to clone; does not keep the rest
/// of the policy alive.
#[derive(Clone, Debug)]
pub struct Rights(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    user: Arc<CompiledUser>,
    roles: Roles,
    /// Shared with whoever names the client by it.
    client_id: Arc<str>,
}

pub(crate) type Roles = SmallVec<[Arc<CompiledRole>; 2]>;

impl Rights {
    pub(crate) fn new(user: Arc<CompiledUser>, roles: Roles, client_id: Arc<str>) -> Self {
        Rights(Arc::new(Inner { user, roles, client_id }))
    }

    /// The user's id.
    #[must_use]
    pub fn user_id(&self) -> UserId {
        self.0.user.id()
    }

    /// The user's name.
    #[must_use]
    pub fn user_name(&self) -> &UserName {
        self.0.user.name()
    }

    /// Which of the user's successive secrets were the valid ones.
    #[must_use]
    pub fn credential_epoch(&self) -> u64 {
        self.0.user.credential_epoch()
    }

    /// The client id that `${clientId}` stands for.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.0.client_id
    }

    /// True if the policy would give exactly these rights: nothing that concerns this user has
    /// changed, and nothing has to be judged again.
    #[must_use]
    pub fn are_current_in(&self, policy: &Policy) -> bool {
        let is_same_user =
            policy.user(self.user_id()).is_some_and(|user| Arc::ptr_eq(user, &self.0.user));
        let now = self.0.user.roles().iter().filter_map(|id| policy.role(*id));
        is_same_user && now.map(Arc::as_ptr).eq(self.0.roles.iter().map(Arc::as_ptr))
    }

    /// How much the user may publish: the narrowest of its own budget and those of its roles.
    #[must_use]
    pub fn publish_budget(&self) -> PublishBudget {
        let of_roles = self.0.roles.iter().map(|role| role.publish_budget());
        of_roles.fold(self.0.user.publish_budget(), PublishBudget::narrowest)
    }

    /// True if any permission allows anything over HTTP, which is what a log-in there takes.
    #[must_use]
    pub fn has_http_permission(&self) -> bool {
        let by_role = self.0.roles.iter().flat_map(|role| role.permissions());
        let mut all = self.0.user.permissions().iter().chain(by_role);
        all.any(|it| it.context == Context::Http && it.effect == Effect::Allow)
    }

    /// The right to publish to the topic as the client sent it, alias resolved. The prefix is added
    /// here, and the topic that results is the one that is judged and handed on.
    pub fn permit_publish(&self, as_sent: &str) -> Result<PublishPermit, Denial> {
        self.permit_write(self.final_topic(as_sent)?)
    }

    /// The right to publish to a topic that has its prefix already: a message retained earlier. One
    /// that does not begin with the prefix is out of reach, whatever the permissions say.
    pub fn permit_resolved(&self, topic: &TopicName) -> Result<PublishPermit, Denial> {
        if !self.is_in_reach(topic) {
            return Err(Denial::NoRule);
        }
        self.permit_write(topic.clone())
    }

    /// The right to subscribe. What is judged is the filter inside a share: a group changes
    /// nothing.
    pub fn permit_subscribe(&self, filter: &SubscriptionFilter) -> Result<SubscribePermit, Denial> {
        let is_filtered = self.judge(subscribe(filter))?;
        Ok(SubscribePermit::new(filter.clone(), is_filtered))
    }

    /// The right to be given a message on this topic, by whatever way it comes.
    pub fn permit_delivery(&self, topic: &TopicName) -> Result<(), Denial> {
        self.judge(deliver(topic)).map(|_| ())
    }

    /// The right to an HTTP request; `ReadWrite` asks for both. The path is as sent, without its
    /// query.
    pub fn permit_http(&self, operation: Operation, path: &str) -> Result<HttpPermit, Denial> {
        let path = requested_path(path)?;
        for action in operation.actions() {
            self.judge(http(*action, &path))?;
        }
        Ok(HttpPermit::new(operation, path))
    }

    /// What the permits would say, with every rule that decided.
    #[must_use]
    pub fn explain(&self, request: Request<'_>) -> Explanation {
        match request {
            Request::Publish(as_sent) => match self.final_topic(as_sent) {
                Ok(topic) => self.explain_all(topic.as_str(), &[publish(&topic)]),
                Err(error) => Explanation::invalid(as_sent, error),
            },
            Request::PublishResolved(topic) if !self.is_in_reach(topic) => {
                Explanation::unreachable(topic.as_str())
            }
            Request::PublishResolved(topic) => self.explain_all(topic.as_str(), &[publish(topic)]),
            Request::Subscribe(filter) => {
                self.explain_all(filter.filter.as_str(), &[subscribe(filter)])
            }
            Request::Deliver(topic) => self.explain_all(topic.as_str(), &[deliver(topic)]),
            Request::Http { operation, path } => match requested_path(path) {
                Ok(name) => {
                    let actions = operation.actions().iter();
                    let questions: SmallVec<[_; 2]> = actions.map(|it| http(*it, &name)).collect();
                    self.explain_all(name.as_str(), &questions)
                }
                Err(error) => Explanation::invalid(path, error),
            },
        }
    }

    pub(crate) fn publish_prefix(&self) -> Option<&PublishPrefix> {
        self.0.user.publish_prefix()
    }

    /// The compiled permissions: own ones, then role by role.
    pub(crate) fn rule_sets(&self) -> impl Iterator<Item = Rules<'_>> {
        let by_role = self.0.roles.iter().filter_map(|role| role.rules());
        self.0.user.rules().into_iter().chain(by_role)
    }

    /// The topic a client means: its user's prefix, then what it sent.
    fn final_topic(&self, as_sent: &str) -> Result<TopicName, TopicError> {
        let topic: Cow<'_, str> = match self.0.user.publish_prefix() {
            None => as_sent.into(),
            Some(prefix) => {
                // The client's part has to be a topic by itself: a prefix repairs nothing.
                TopicName::validate(as_sent)?;
                format!("{prefix}{as_sent}").into()
            }
        };
        TopicName::parse(&topic)
    }

    /// Whether there is anything that the client could send to end up at this topic.
    fn is_in_reach(&self, topic: &TopicName) -> bool {
        let Some(prefix) = self.0.user.publish_prefix() else { return true };
        let as_sent = topic.as_str().strip_prefix(prefix.as_str());
        as_sent.is_some_and(|as_sent| TopicName::validate(as_sent).is_ok())
    }

    fn permit_write(&self, topic: TopicName) -> Result<PublishPermit, Denial> {
        self.judge(publish(&topic))?;
        Ok(PublishPermit::new(topic))
    }

    /// The answer alone: whether what is allowed has to be filtered, or why it is not.
    fn judge(&self, question: Question<'_>) -> Result<bool, Denial> {
        outcome(decide(&self.rulebook(), question, Thoroughness::FirstRule, &mut |_| {}))
    }

    fn explain_all(&self, resource: &str, questions: &[Question<'_>]) -> Explanation {
        let mut explanation = Explanation::allowed(resource);
        for question in questions {
            let mut because = Vec::new();
            let mut note = |witness: Witness<'_>| because.push(Because::from(witness));
            let verdict = decide(&self.rulebook(), *question, Thoroughness::EveryRule, &mut note);
            match outcome(verdict) {
                Ok(is_filtered) => {
                    explanation.is_filtered |= is_filtered;
                    explanation.because.extend(because);
                }
                Err(denial) => {
                    explanation.decision = Decision::Deny;
                    explanation.denial = Some(denial);
                    explanation.because = because;
                    break;
                }
            }
        }
        explanation.tidy();
        explanation
    }

    fn rulebook(&self) -> Rulebook<'_> {
        let Inner { user, roles, client_id } = &*self.0;
        let bindings =
            Bindings { username: Some(user.name().as_str()), client_id: Some(client_id) };
        Rulebook { user, roles, bindings }
    }
}

impl Explanation {
    fn allowed(resource: &str) -> Self {
        Explanation {
            decision: Decision::Allow,
            resource: resource.to_owned(),
            denial: None,
            because: Vec::new(),
            is_filtered: false,
        }
    }

    fn invalid(resource: &str, error: TopicError) -> Self {
        Explanation::denied(resource, Denial::InvalidTopic(error))
    }

    /// By the publish prefix, which is no rule.
    fn unreachable(resource: &str) -> Self {
        Explanation::denied(resource, Denial::NoRule)
    }

    fn denied(resource: &str, denial: Denial) -> Self {
        let denial = Some(denial);
        Explanation { decision: Decision::Deny, denial, ..Explanation::allowed(resource) }
    }

    /// One order for one answer, and each rule once: a rule for both actions is found for each.
    fn tidy(&mut self) {
        self.because.sort_by(|a, b| {
            let key = |it: &Because| (it.effect, it.owner.clone(), it.permission);
            key(a).cmp(&key(b)).then_with(|| a.resource.as_str().cmp(b.resource.as_str()))
        });
        self.because.dedup();
    }
}

fn outcome(verdict: Verdict<'_>) -> Result<bool, Denial> {
    match verdict {
        Verdict::Allowed { is_filtered } => Ok(is_filtered),
        Verdict::Denied(rule) => Err(Denial::DenyRule(Box::new(rule.into()))),
        Verdict::NoRule => Err(Denial::NoRule),
        Verdict::Reserved => Err(Denial::DollarTopic),
    }
}

fn publish(topic: &TopicName) -> Question<'_> {
    Question { context: Context::Mqtt, action: Action::Write, subject: Subject::Name(topic) }
}

fn subscribe(filter: &SubscriptionFilter) -> Question<'_> {
    let subject = Subject::Filter(&filter.filter);
    Question { context: Context::Mqtt, action: Action::Read, subject }
}

fn deliver(topic: &TopicName) -> Question<'_> {
    Question { context: Context::Mqtt, action: Action::Read, subject: Subject::Name(topic) }
}

fn http(action: Action, path: &TopicName) -> Question<'_> {
    Question { context: Context::Http, action, subject: Subject::Name(path) }
}
