//! Each mistake that is put in between engine and world is found, by the check that is there for it.
#![allow(clippy::panic, reason = "a test fails by panicking")]

use sim::{Check, Mutation};

/// Within some seeds one must fail in this way.
fn check(mutation: Mutation, expected: Check) {
    let fails = |seed| {
        let found = sim::run(seed, sim::STEPS, Some(mutation)).violation;
        found.is_some_and(|it| it.check == expected)
    };
    assert!((0..SEEDS_MAX).any(fails), "{mutation:?} is never found as {expected:?}");
}

const SEEDS_MAX: u64 = 8_000;

#[test]
fn a_message_that_is_lost_is_missed_wherever_it_was_lost() {
    check(Mutation::LoseForward, Check::Lost);
    check(Mutation::LoseRecord, Check::Lost);
    check(Mutation::CommitEarly, Check::Lost);
    check(Mutation::LosePublish, Check::Stuck);
    check(Mutation::LosePuback, Check::Stuck);
}

#[test]
fn a_message_that_comes_twice_or_in_another_order_is_noticed() {
    check(Mutation::RepeatPublish, Check::Twice);
    check(Mutation::SwapForwards, Check::Order);
}

#[test]
fn what_comes_back_from_disk_wrongly_is_noticed() {
    check(Mutation::LoseFetched, Check::Lost);
    check(Mutation::SwapFetched, Check::Order);
    check(Mutation::StaleFetched, Check::Twice);
    check(Mutation::JudgeFetchedEarly, Check::Rights);
}

#[test]
fn rights_that_were_not_taken_away_and_sessions_of_others_are_noticed() {
    check(Mutation::HideRights, Check::Rights);
    check(Mutation::HideRights, Check::Uninvited);
    check(Mutation::SwapPeople, Check::Session);
    check(Mutation::FlipSessionPresent, Check::Session);
    check(Mutation::HideDisconnect, Check::Will);
}

#[test]
fn what_is_retained_no_more_is_noticed() {
    check(Mutation::StaleRetained, Check::Retained);
}

#[test]
fn bytes_and_packets_against_the_standard_are_noticed() {
    check(Mutation::BreakPacket, Check::Protocol);
    check(Mutation::ReusePacketId, Check::PacketId);
    check(Mutation::HideAcknowledgement, Check::Quota);
}

#[test]
fn a_disk_that_tears_a_group_or_loses_what_it_had_confirmed_is_noticed() {
    check(Mutation::TearBatch, Check::Stray);
    check(Mutation::HideLie, Check::Lost);
    check(Mutation::HideLie, Check::Session);
}

#[test]
fn a_writer_that_makes_too_little_or_too_much_of_a_failure_is_noticed() {
    check(Mutation::ForgetFailure, Check::Session);
    check(Mutation::ForgetFailure, Check::Leftover);
    check(Mutation::TrustFailure, Check::Leftover);
}

#[test]
fn limits_that_are_not_kept_and_what_is_left_at_the_end_are_noticed() {
    check(Mutation::ShrinkLimits, Check::Limit);
    check(Mutation::KeepConnection, Check::Leftover);
}
