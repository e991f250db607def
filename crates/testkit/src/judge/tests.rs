//! What the judge lets pass, and beside it what it does not.

use super::{Check, Hello, Judge, Rights, Rule, Sent, Setup, Taken, Wish};
use crate::Version;
use crate::wire::{Publish, acknowledge, publish};

/// Person and client.
const READER: (usize, usize) = (0, 0);
const OTHER: (usize, usize) = (0, 1);
const WRITER: (usize, usize) = (1, 0);
const NOW: u64 = 1_000;

/// A judge who has seen some things happen at one moment to a broker with one shard, where everybody may do everything.
struct Scene(Judge);

impl Scene {
    fn new() -> Self {
        let mut judge = Judge::new(Setup {
            shards: 1,
            people: 2,
            is_persistent: true,
            in_flight_max: 100,
            closes_denied: false,
        });
        for person in 0..2 {
            let (is_allow, reads, writes) = (true, true, true);
            let rules = vec![Rule { is_allow, reads, writes, filter: "#".to_owned() }];
            let prefix = String::new();
            judge.change_rights(person, Rights { is_enabled: true, exists: true, prefix, rules });
        }
        judge.tell_shard(0, NOW);
        Self(judge)
    }

    /// A client is let in, and reads that its session is there or not.
    fn enter(&mut self, connection: usize, hello: Hello, is_present: bool) {
        self.0.greet(connection, hello, NOW);
        self.0.write(connection, &[0x20, 2, u8::from(is_present), 0]);
    }

    fn subscribe(&mut self, connection: usize, filter: &str, qos: u8) {
        let filter = filter.to_owned();
        let wish = Wish { filter, qos, is_no_local: false, keeps_retain: false };
        self.0.take(connection, &Taken::Subscribe(9, vec![wish]), true, NOW);
        self.0.write(connection, &[0x90, 3, 0, 9, qos]);
    }

    fn publish(&mut self, connection: usize, sent: Sent) {
        let id = u16::try_from(sent.number).expect("small");
        self.0.take(connection, &Taken::Publish(sent, id), true, NOW);
    }

    /// The broker writes a PUBLISH.
    fn deliver(&mut self, connection: usize, number: u32, it: Publish<'_>) {
        let payload = number.to_be_bytes();
        let it = Publish { topic: "t", payload: &payload, ..it };
        self.0.write(connection, &publish(Version::V311, &it));
    }

    /// The broker dies, starts again, and has what it was known to have.
    fn crash(&mut self) {
        self.0.crash(NOW);
    }

    #[track_caller]
    fn expect(&self, expected: Option<Check>) {
        let found = self.0.violation();
        assert_eq!(found.map(|it| it.check), expected, "{found:?}");
    }
}

fn hello(who: (usize, usize), expiry_s: u32) -> Hello {
    Hello {
        who,
        shard: 0,
        is_v5: false,
        is_clean: false,
        expiry_s,
        receive_max: None,
        packet_max: u32::MAX,
        alias_max: 0,
        will: None,
    }
}

fn sent(number: u32, qos: u8) -> Sent {
    Sent { number, topic: "t".to_owned(), qos, retain: false, expires: false, size: 4 }
}

fn at(qos: u8, packet_id: u16) -> Publish<'static> {
    Publish { qos, packet_id, ..Publish::new("t", &[]) }
}

/// The reader's first connection has ended, and its second one is there. Then each of these connections gets one of these messages.
#[track_caller]
fn check_order(got: [(usize, u32); 3], expected: Option<Check>) {
    let mut scene = Scene::new();
    scene.enter(0, hello(WRITER, 0), false);
    scene.enter(1, hello(READER, 100), false);
    scene.subscribe(1, "t", 0);
    for number in 1..=3 {
        scene.publish(0, sent(number, 0));
    }
    scene.0.end(1, NOW);
    scene.enter(2, hello(READER, 100), true);
    for (connection, number) in got {
        scene.deliver(connection, number, at(0, 0));
    }
    scene.expect(expected);
}

#[test]
fn what_is_still_written_to_a_former_connection_comes_before_all_that_the_next_one_gets() {
    check_order([(1, 1), (1, 2), (2, 3)], None);
    check_order([(2, 2), (1, 1), (2, 3)], None);
    check_order([(2, 3), (1, 1), (1, 2)], None);
    check_order([(2, 3), (1, 2), (1, 1)], Some(Check::Order));
    check_order([(2, 1), (1, 2), (2, 3)], Some(Check::Order));
    check_order([(2, 2), (1, 3), (2, 3)], Some(Check::Order));
    check_order([(1, 3), (2, 2), (2, 1)], Some(Check::Order));
}

#[test]
fn a_pubrel_is_judged_by_the_session_that_it_belongs_to_also_when_there_is_another() {
    for (is_resumed, expected) in [(true, None), (false, Some(Check::Protocol))] {
        let mut scene = Scene::new();
        if is_resumed {
            scene.enter(0, hello(READER, 100), false);
            scene.0.end(0, NOW);
        }
        scene.enter(1, hello(READER, 100), is_resumed);
        scene.enter(2, Hello { is_clean: true, ..hello(READER, 100) }, false);
        scene.0.write(1, &acknowledge(0x62, 7));
        scene.expect(expected);
    }
}

#[test]
fn an_exchange_that_a_crash_took_back_does_not_have_to_end_and_its_message_is_owed_if_it_was_durable()
 {
    for (is_durable, expected) in [(false, None), (true, Some(Check::Lost))] {
        let mut scene = Scene::new();
        scene.enter(0, hello(WRITER, 0), false);
        scene.enter(1, hello(READER, 100), false);
        scene.subscribe(1, "t", 1);
        scene.0.make_durable(0);
        scene.publish(0, sent(1, 1));
        scene.deliver(1, 1, at(1, 1));
        if is_durable {
            scene.0.make_durable(0);
        }
        scene.crash();
        scene.enter(2, hello(READER, 100), true);
        scene.0.settle();
        scene.expect(expected);
    }
}

/// Both are in a group. One gets a QoS 2 message, the broker dies, and the other gets it when its writer sends it again.
#[track_caller]
fn check_group(expiry_s: u32, qos: u8, is_durable: bool, expected: Option<Check>) {
    let mut scene = Scene::new();
    scene.enter(0, hello(WRITER, 100), false);
    scene.enter(1, hello(READER, expiry_s), false);
    scene.subscribe(1, "$share/g/t", qos);
    scene.enter(2, hello(OTHER, 100), false);
    scene.subscribe(2, "$share/g/t", 2);
    scene.0.make_durable(0);
    scene.publish(0, sent(1, 2));
    scene.deliver(1, 1, at(qos, 1));
    if is_durable {
        scene.0.make_durable(0);
    }
    scene.crash();
    scene.enter(3, hello(WRITER, 100), true);
    scene.enter(4, hello(OTHER, 100), true);
    scene.publish(3, sent(1, 2));
    scene.deliver(4, 1, at(2, 1));
    scene.expect(expected);
}

#[test]
fn a_group_gets_again_what_a_crash_took_back_with_the_session_that_had_it_or_at_a_lower_qos() {
    check_group(0, 2, false, None);
    check_group(100, 1, false, None);
    check_group(100, 2, false, Some(Check::Twice));
    check_group(0, 2, true, Some(Check::Twice));
    check_group(100, 1, true, Some(Check::Twice));
}

#[test]
fn after_a_crash_a_message_comes_again_at_qos_1_and_not_at_qos_2() {
    for (last, expected) in [(None, None), (Some(at(2, 3)), Some(Check::Twice))] {
        let mut scene = Scene::new();
        scene.enter(0, hello(WRITER, 100), false);
        scene.enter(1, hello(READER, 100), false);
        scene.subscribe(1, "t", 1);
        scene.subscribe(1, "$share/g/t", 2);
        scene.0.make_durable(0);
        scene.publish(0, sent(1, 2));
        scene.0.make_durable(0);
        scene.deliver(1, 1, at(1, 1));
        scene.0.take(1, &Taken::PubAck(1), true, NOW);
        scene.crash();
        scene.enter(2, hello(READER, 100), true);
        scene.deliver(2, 1, Publish { dup: true, ..at(1, 1) });
        scene.deliver(2, 1, at(2, 2));
        if let Some(last) = last {
            scene.deliver(2, 1, last);
        }
        scene.expect(expected);
    }
}

/// A message is retained, and then another is; the writer is told so of one of them before the broker dies.
#[track_caller]
fn check_retained(told: u16, expected: Option<Check>) {
    let mut scene = Scene::new();
    scene.enter(0, hello(WRITER, 100), false);
    scene.0.make_durable(0);
    for number in 1..=2 {
        scene.publish(0, Sent { retain: true, ..sent(number, 1) });
    }
    scene.0.write(0, &acknowledge(0x40, told));
    scene.crash();
    scene.enter(1, hello(READER, 100), false);
    scene.subscribe(1, "t", 0);
    scene.deliver(1, 1, Publish { retain: true, ..at(0, 0) });
    scene.expect(expected);
}

#[test]
fn what_took_the_place_of_a_retained_message_did_so_for_good_once_it_is_confirmed_itself() {
    check_retained(1, None);
    check_retained(2, Some(Check::Retained));
}

#[test]
fn a_session_that_a_crash_perhaps_brought_back_is_perhaps_a_member_of_its_groups() {
    for (is_durable, expected) in [(false, None), (true, Some(Check::Lost))] {
        let mut scene = Scene::new();
        scene.enter(1, hello(READER, 100), false);
        scene.subscribe(1, "$share/g/t", 0);
        scene.enter(2, hello(OTHER, 100), false);
        scene.subscribe(2, "$share/g/t", 1);
        scene.0.make_durable(0);
        scene.enter(3, Hello { is_clean: true, ..hello(READER, 100) }, false);
        if is_durable {
            scene.0.make_durable(0);
        }
        scene.crash();
        scene.enter(4, hello(WRITER, 0), false);
        scene.publish(4, sent(1, 1));
        scene.0.write(4, &acknowledge(0x40, 1));
        scene.enter(5, hello(OTHER, 100), true);
        scene.0.settle();
        scene.expect(expected);
    }
}

#[test]
fn a_message_that_its_writer_was_told_of_is_owed_after_a_crash_and_one_it_was_not_told_of_is_not() {
    for (is_told, expected) in [(false, None), (true, Some(Check::Lost))] {
        let mut scene = Scene::new();
        scene.enter(0, hello(WRITER, 0), false);
        scene.enter(1, hello(READER, 100), false);
        scene.subscribe(1, "t", 1);
        scene.0.make_durable(0);
        scene.publish(0, sent(1, 1));
        if is_told {
            scene.0.write(0, &acknowledge(0x40, 1));
        }
        scene.crash();
        scene.enter(2, hello(READER, 100), true);
        scene.0.settle();
        scene.expect(expected);
    }
}
