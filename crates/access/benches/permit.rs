//! Judging a publish, a subscription and a delivery, with few and with many rules: `cargo bench -p access`.

#![allow(missing_docs, reason = "criterion's macros make the functions")]

use std::error::Error;
use std::hint::black_box;

use access::{
    Context, Effect, GrantTypes, Operation, Permission, PermissionId, Policy, PublishBudget,
    Resource, User, UserId, UserName,
};
use criterion::{Criterion, criterion_group, criterion_main};
use topic::{SubscriptionFilter, TopicName};
use uuid::Uuid;

fn user(rules: u128) -> Result<User, Box<dyn Error>> {
    let permission = |number: u128| {
        let resource = format!("plant/hall-{number}/line/#");
        Ok(Permission {
            id: PermissionId(Uuid::from_u128(number)),
            resource: Resource::parse(&resource, Context::Mqtt)?,
            operation: Operation::ReadWrite,
            context: Context::Mqtt,
            effect: Effect::Allow,
        })
    };
    Ok(User {
        id: UserId(Uuid::from_u128(1)),
        name: UserName::parse("machine")?,
        grants: GrantTypes::PASSWORD,
        publish_prefix: None,
        roles: access::RoleIds::new(),
        permissions: (0..rules).map(permission).collect::<Result<_, Box<dyn Error>>>()?,
        enabled: true,
        publish_budget: PublishBudget::default(),
        credential_epoch: 0,
    })
}

fn permit(criterion: &mut Criterion) {
    for rules in [10, 1_000] {
        let policy = user(rules).map(|user| Policy::compile([user], []));
        let rights = policy.ok().and_then(|it| it.rights(UserId(Uuid::from_u128(1)), "client"));
        let filter = SubscriptionFilter::parse("plant/hall-7/line/+/temperature");
        let topic = TopicName::parse(TOPIC);
        let (Some(rights), Ok(filter), Ok(topic)) = (rights, filter, topic) else { return };
        criterion.bench_function(&format!("permit to publish, {rules} rules"), |bencher| {
            bencher.iter(|| rights.permit_publish(black_box(TOPIC)).is_ok());
        });
        criterion.bench_function(&format!("permit to subscribe, {rules} rules"), |bencher| {
            bencher.iter(|| rights.permit_subscribe(black_box(&filter)).is_ok());
        });
        criterion.bench_function(&format!("permit to deliver, {rules} rules"), |bencher| {
            bencher.iter(|| rights.permit_delivery(black_box(&topic)).is_ok());
        });
    }
}

const TOPIC: &str = "plant/hall-7/line/4/temperature";

criterion_group!(benches, permit);
criterion_main!(benches);
