//! Messages coming in with QoS 1 and 2: exactly-once, and no more at a time than granted.

use crate::id_map::IdMap;
use crate::{PacketId, ProtocolError, Qos, ReasonCode};

/// The receiver's side of one session's exchanges (section 4.3).
///
/// What belongs to the session: the QoS 2 identifiers received and not yet released. What belongs
/// to the connection: the exchanges open at the moment, which may not exceed the receive maximum
/// granted. At most 65,535 identifiers are held, as there are no more.
#[derive(Debug)]
pub struct Inbound {
    receive_maximum: u16,
    unreleased: IdMap,
    open: IdMap,
}

/// What to do with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Publish it.
    First,
    /// It was published before: only acknowledge it [MQTT-4.3.3-10].
    Repeated,
    /// Its identifier is that of a QoS 2 message that is not released: it is another message all the same, and not to be
    /// published. Since 5.0 it is acknowledged with 0x91, for client and server may not know the same of the session;
    /// before, that cannot be told, and it ends the connection [MQTT-4.8.0-1].
    InUse,
}

impl Inbound {
    /// A new session on its first connection. `receive_maximum` is what CONNACK grants; before 5.0
    /// nothing can be granted, so 65,535 is the honest choice.
    #[must_use]
    pub fn new(receive_maximum: u16) -> Inbound {
        Inbound { receive_maximum, unreleased: IdMap::default(), open: IdMap::default() }
    }

    /// A session read from disk: the QoS 2 identifiers it had not released. Takes nothing before
    /// [`Inbound::reconnected`].
    #[must_use]
    pub fn restored(unreleased: impl IntoIterator<Item = PacketId>) -> Inbound {
        let mut inbound = Inbound::new(0);
        for packet_id in unreleased {
            inbound.unreleased.insert(packet_id, 0);
        }
        inbound
    }

    /// The session goes on on a new connection.
    pub fn reconnected(&mut self, receive_maximum: u16) {
        self.receive_maximum = receive_maximum;
        self.open = IdMap::default();
    }

    /// A PUBLISH came in. QoS 0 is always first.
    ///
    /// # Errors
    /// 0x93 above the receive maximum.
    pub fn begin(&mut self, qos: Qos, packet_id: PacketId) -> Result<Arrival, ProtocolError> {
        if qos == Qos::AtMostOnce {
            return Ok(Arrival::First);
        }
        if qos == Qos::AtLeastOnce {
            let arrival = self.pass(packet_id)?;
            if arrival == Arrival::First {
                self.open.insert(packet_id, 0);
            }
            return Ok(arrival);
        }
        self.check_quota(packet_id)?;
        self.open.insert(packet_id, 0);
        let is_first = self.unreleased.insert(packet_id, 0);
        Ok(if is_first { Arrival::First } else { Arrival::Repeated })
    }

    /// A QoS 1 PUBLISH came in that is acknowledged in the same step: as [`Inbound::begin`] and
    /// [`Inbound::acked`] together.
    ///
    /// # Errors
    /// As [`Inbound::begin`].
    pub fn pass(&self, packet_id: PacketId) -> Result<Arrival, ProtocolError> {
        if self.unreleased.contains(packet_id) {
            return Ok(Arrival::InUse);
        }
        self.check_quota(packet_id).map(|()| Arrival::First)
    }

    /// PUBACK was written: the exchange is over.
    pub fn acked(&mut self, packet_id: PacketId) {
        self.open.remove(packet_id);
    }

    /// PUBREC with an error was written: the exchange is over and the identifier free
    /// [MQTT-4.3.3-9].
    pub fn refused(&mut self, packet_id: PacketId) {
        self.open.remove(packet_id);
        self.unreleased.remove(packet_id);
    }

    /// PUBREL came in. Whether the identifier was known: PUBCOMP says success then, 0x92 otherwise.
    /// Either way PUBCOMP is to be written and the exchange is over.
    pub fn release(&mut self, packet_id: PacketId) -> bool {
        self.open.remove(packet_id);
        self.unreleased.remove(packet_id)
    }

    /// Gives back the memory that nothing is in. The next exchange takes it anew.
    pub fn give_back(&mut self) {
        self.unreleased.give_back();
        self.open.give_back();
    }

    /// The QoS 2 identifiers not yet released, in order.
    pub fn unreleased(&self) -> impl Iterator<Item = PacketId> + use<> {
        let mut ids: Vec<_> = self.unreleased.ids().collect();
        ids.sort_unstable();
        ids.into_iter()
    }

    /// How many they are.
    #[must_use]
    pub fn unreleased_count(&self) -> usize {
        self.unreleased.len()
    }

    /// Exchanges open on this connection.
    #[must_use]
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// [MQTT-3.3.4-7] The quota counts unacknowledged QoS 1 and 2 only.
    fn check_quota(&self, packet_id: PacketId) -> Result<(), ProtocolError> {
        if self.open.len() < usize::from(self.receive_maximum) || self.open.contains(packet_id) {
            return Ok(());
        }
        Err(ProtocolError::new(
            ReasonCode::ReceiveMaximumExceeded,
            "more unacknowledged messages than the receive maximum",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::{Arrival, Inbound};
    use crate::{PacketId, Qos, ReasonCode};
    use Qos::{AtLeastOnce, AtMostOnce, ExactlyOnce};

    fn id(value: u16) -> PacketId {
        PacketId::new(value).unwrap()
    }

    fn check(inbound: &mut Inbound, qos: Qos, value: u16, expected: Result<Arrival, ReasonCode>) {
        assert_eq!(inbound.begin(qos, id(value)).map_err(|error| error.reason), expected);
    }

    // Shows 3.1.1: [MQTT-4.3.3-2]; 5.0: [MQTT-4.3.3-10], [MQTT-4.3.3-12].
    #[test]
    fn a_qos_2_message_is_first_once_until_it_is_released() {
        let mut inbound = Inbound::new(10);
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::First));
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::Repeated));
        assert!(inbound.release(id(1)));
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::First));
    }

    #[test]
    fn a_qos_2_message_repeated_on_a_new_connection_is_not_published_again() {
        let mut inbound = Inbound::new(10);
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::First));
        inbound.reconnected(10);
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::Repeated));
        assert!(inbound.release(id(1)));
    }

    #[test]
    fn a_session_read_from_disk_knows_what_it_received() {
        let mut inbound = Inbound::restored([id(4), id(2)]);
        inbound.reconnected(1);
        assert_eq!(inbound.unreleased().collect::<Vec<_>>(), [id(2), id(4)]);
        check(&mut inbound, ExactlyOnce, 4, Ok(Arrival::Repeated));
    }

    #[test]
    fn a_release_of_an_unknown_identifier_is_noticed() {
        let mut inbound = Inbound::new(10);
        assert!(!inbound.release(id(1)));
        check(&mut inbound, AtLeastOnce, 1, Ok(Arrival::First));
        assert!(!inbound.release(id(1)));
    }

    #[test]
    fn a_refused_qos_2_message_frees_its_identifier() {
        let mut inbound = Inbound::new(1);
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::First));
        inbound.refused(id(1));
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::First));
    }

    // Shows 5.0: [MQTT-3.3.4-7].
    #[test]
    fn more_messages_than_the_receive_maximum_are_refused() {
        let mut inbound = Inbound::new(2);
        check(&mut inbound, AtLeastOnce, 1, Ok(Arrival::First));
        check(&mut inbound, ExactlyOnce, 2, Ok(Arrival::First));
        check(&mut inbound, AtLeastOnce, 3, Err(ReasonCode::ReceiveMaximumExceeded));
        check(&mut inbound, ExactlyOnce, 3, Err(ReasonCode::ReceiveMaximumExceeded));
    }

    #[test]
    fn qos_0_is_never_counted() {
        let mut inbound = Inbound::new(1);
        check(&mut inbound, AtLeastOnce, 1, Ok(Arrival::First));
        check(&mut inbound, AtMostOnce, 2, Ok(Arrival::First));
        assert_eq!(inbound.open_count(), 1);
    }

    #[test]
    fn a_repetition_is_not_counted_twice() {
        let mut inbound = Inbound::new(1);
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::First));
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::Repeated));
        check(&mut inbound, ExactlyOnce, 2, Err(ReasonCode::ReceiveMaximumExceeded));
    }

    #[test]
    fn each_way_to_end_an_exchange_makes_room_for_another() {
        let mut inbound = Inbound::new(1);
        check(&mut inbound, AtLeastOnce, 1, Ok(Arrival::First));
        inbound.acked(id(1));
        check(&mut inbound, ExactlyOnce, 2, Ok(Arrival::First));
        assert!(inbound.release(id(2)));
        check(&mut inbound, ExactlyOnce, 3, Ok(Arrival::First));
        inbound.refused(id(3));
        check(&mut inbound, AtLeastOnce, 4, Ok(Arrival::First));
        inbound.reconnected(1);
        check(&mut inbound, AtLeastOnce, 5, Ok(Arrival::First));
    }

    #[test]
    fn a_message_acknowledged_at_once_is_judged_like_one_acknowledged_later() {
        let mut inbound = Inbound::new(1);
        assert_eq!(inbound.pass(id(1)), Ok(Arrival::First));
        check(&mut inbound, ExactlyOnce, 2, Ok(Arrival::First));
        let reason = |inbound: &Inbound, value| inbound.pass(id(value)).map_err(|it| it.reason);
        assert_eq!(reason(&inbound, 2), Ok(Arrival::InUse));
        assert_eq!(reason(&inbound, 3), Err(ReasonCode::ReceiveMaximumExceeded));
        assert!(inbound.release(id(2)));
        assert_eq!(reason(&inbound, 3), Ok(Arrival::First));
        assert_eq!(inbound.open_count(), 0);
    }

    #[test]
    fn the_identifier_of_an_unreleased_message_cannot_be_used_for_qos_1() {
        let mut inbound = Inbound::new(10);
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::First));
        check(&mut inbound, AtLeastOnce, 1, Ok(Arrival::InUse));
        check(&mut inbound, ExactlyOnce, 1, Ok(Arrival::Repeated));
        assert!(inbound.release(id(1)));
        check(&mut inbound, AtLeastOnce, 1, Ok(Arrival::First));
    }
}
