//! Messages going out with QoS 1 and 2: identifiers, acknowledgements, order, window.

mod chain;
#[cfg(test)]
mod tests;

use crate::id_map::IdMap;
use crate::{PacketId, Qos, ReasonCode};
use chain::{Chain, Slot};

/// The sender's side of one session's exchanges (section 4.3): what was sent and is not yet
/// acknowledged.
///
/// Holds at most as many exchanges as the largest window given, and never more than 65,535. Each
/// keeps its message until the receiver has it. Sending and acknowledging take constant time.
#[derive(Debug)]
pub struct Outbound<M> {
    /// The peer's receive maximum.
    window: u16,
    /// Exchanges that count against the window: those whose PUBLISH went out on this connection.
    in_flight: u16,
    last_id: PacketId,
    /// Where in `exchanges` an identifier is.
    slots: IdMap,
    /// In the order in which PUBLISH went out first, or PUBREC came in [MQTT-4.6.0-1]
    /// [MQTT-4.6.0-4].
    exchanges: Chain<Exchange<M>>,
    next_place: u64,
    /// The first exchange that waits to be sent again on this connection, if its place is before
    /// `resend_end`.
    resend_next: Option<Slot>,
    resend_end: u64,
}

#[derive(Debug)]
struct Exchange<M> {
    /// Grows along the order.
    place: u64,
    packet_id: PacketId,
    stage: Stage,
    /// `None` once received, or withdrawn by [`Outbound::remove_where`].
    message: Option<M>,
    is_in_flight: bool,
}

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// QoS 1.
    PubAck,
    /// QoS 2, before the receiver has the message.
    PubRec,
    /// QoS 2, once it has.
    PubComp,
}

/// A packet to send again on a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resend<'a, M> {
    /// PUBLISH with DUP set.
    Publish(PacketId, Qos, &'a M),
    /// PUBREL.
    PubRel(PacketId),
}

/// What a PUBREC means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<M> {
    /// Answer PUBREL. Gives the message back, unless it was withdrawn.
    Release(Option<M>),
    /// The peer repeats itself: answer PUBREL again.
    ReleaseAgain,
    /// The peer refused the message; the exchange is over.
    Refused(Option<M>),
}

/// An acknowledgement that fits no exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AckError {
    /// No exchange has this identifier: PUBREC is answered with PUBREL 0x92, the others with
    /// nothing.
    Unknown,
    /// It has, but waits for something else: a protocol error.
    WrongStage,
}

impl AckError {
    /// 0x92 or 0x82.
    #[must_use]
    pub fn reason(self) -> ReasonCode {
        match self {
            AckError::Unknown => ReasonCode::PacketIdentifierNotFound,
            AckError::WrongStage => ReasonCode::ProtocolError,
        }
    }
}

impl<M> Outbound<M> {
    /// A new session on its first connection; `window` is the client's receive maximum, perhaps cut
    /// by the server.
    #[must_use]
    pub fn new(window: u16) -> Outbound<M> {
        Outbound {
            window,
            in_flight: 0,
            last_id: PacketId::MIN,
            slots: IdMap::default(),
            exchanges: Chain::new(),
            next_place: 0,
            resend_next: None,
            resend_end: 0,
        }
    }

    /// Takes an exchange read from disk, in the order of [`Outbound::iter`], before
    /// [`Outbound::reconnected`]. A second one with the same identifier is ignored.
    pub fn restore(&mut self, packet_id: PacketId, stage: Stage, message: Option<M>) {
        if self.slots.contains(packet_id) {
            return;
        }
        self.append(packet_id, stage, message, false);
    }

    /// Begins an exchange and gives the identifier to send `message` with. QoS 0 has none and is
    /// not for here: it is taken as QoS 1.
    ///
    /// # Errors
    /// Gives the message back if the window is full or something waits to be sent again, which goes
    /// first.
    pub fn send(&mut self, qos: Qos, message: M) -> Result<PacketId, M> {
        if !self.has_room() {
            return Err(message);
        }
        let Some(packet_id) = self.free_id() else { return Err(message) };
        let stage = if qos == Qos::ExactlyOnce { Stage::PubRec } else { Stage::PubAck };
        self.in_flight += 1;
        self.append(packet_id, stage, Some(message), true);
        Ok(packet_id)
    }

    /// The message of the exchange that comes last in order; after [`Outbound::send`], what it took.
    #[must_use]
    pub fn newest(&self) -> Option<&M> {
        self.exchanges.last()?.message.as_ref()
    }

    /// PUBACK, with any reason: a QoS 1 exchange is over. Gives the message back, unless it was
    /// withdrawn.
    ///
    /// # Errors
    /// If the identifier is unknown or of a QoS 2 exchange.
    pub fn puback(&mut self, packet_id: PacketId) -> Result<Option<M>, AckError> {
        let slot = self.slot(packet_id, Stage::PubAck)?;
        Ok(self.end(packet_id, slot))
    }

    /// PUBREC: the peer has the message, or refuses it if `reason` is an error.
    ///
    /// # Errors
    /// If the identifier is unknown or of a QoS 1 exchange.
    pub fn pubrec(
        &mut self,
        packet_id: PacketId,
        reason: ReasonCode,
    ) -> Result<Received<M>, AckError> {
        if let Ok(slot) = self.slot(packet_id, Stage::PubComp) {
            // 4.3.3: an error now, after PUBREL, ends the exchange as well.
            if reason.is_error() {
                return Ok(Received::Refused(self.end(packet_id, slot)));
            }
            return Ok(Received::ReleaseAgain);
        }
        let slot = self.slot(packet_id, Stage::PubRec)?;
        // [MQTT-4.3.3-4] A refusal frees the identifier.
        if reason.is_error() {
            return Ok(Received::Refused(self.end(packet_id, slot)));
        }
        self.pass(slot);
        let place = self.take_place();
        self.exchanges.move_to_end(slot);
        let exchange = self.exchanges.get_mut(slot).ok_or(AckError::Unknown)?;
        exchange.place = place;
        exchange.stage = Stage::PubComp;
        Ok(Received::Release(exchange.message.take()))
    }

    /// PUBCOMP, with any reason: a QoS 2 exchange is over.
    ///
    /// # Errors
    /// If the identifier is unknown or PUBREC has not come yet.
    pub fn pubcomp(&mut self, packet_id: PacketId) -> Result<(), AckError> {
        let slot = self.slot(packet_id, Stage::PubComp)?;
        self.end(packet_id, slot);
        Ok(())
    }

    /// The session goes on on a new connection: all that is not acknowledged waits to be sent
    /// again.
    pub fn reconnected(&mut self, window: u16) {
        self.window = window;
        self.in_flight = 0;
        self.for_each_from(self.exchanges.first(), |exchange| exchange.is_in_flight = false);
        self.resend_next = self.exchanges.first();
        self.resend_end = self.next_place;
        // What was withdrawn while on the way cannot be sent again.
        self.withdraw_waiting(|message| message.is_none());
    }

    /// The next packet to send again [MQTT-4.4.0-1], in order; `None` when there is no more or the
    /// window is full (then ask again after an acknowledgement). To be called until it gives none.
    pub fn resend(&mut self) -> Option<Resend<'_, M>> {
        let slot = self.waiting()?;
        let after = self.exchanges.after(slot);
        let has_room = self.in_flight < self.window;
        let exchange = self.exchanges.get_mut(slot)?;
        let qos = match exchange.stage {
            Stage::PubAck => Qos::AtLeastOnce,
            Stage::PubRec => Qos::ExactlyOnce,
            Stage::PubComp => {
                self.resend_next = after;
                return Some(Resend::PubRel(exchange.packet_id));
            }
        };
        if !has_room {
            return None;
        }
        let message = exchange.message.as_ref()?;
        self.resend_next = after;
        self.in_flight += 1;
        exchange.is_in_flight = true;
        Some(Resend::Publish(exchange.packet_id, qos, message))
    }

    /// Withdraws the messages for which `judge` says so, and gives them back. What went out on this
    /// connection keeps its identifier until it is acknowledged; what waits to be sent again is not
    /// sent again. A waiting QoS 2 exchange ends with PUBREL, as the peer may hold its identifier.
    pub fn remove_where(&mut self, mut judge: impl FnMut(&M) -> bool) -> Vec<M> {
        let mut removed = Vec::new();
        self.for_each_from(self.exchanges.first(), |exchange| {
            if exchange.message.as_ref().is_some_and(&mut judge) {
                removed.extend(exchange.message.take());
            }
        });
        self.withdraw_waiting(|message| message.is_none());
        removed
    }

    /// [MQTT-3.3.4-9] Whether [`Outbound::send`] would take a message now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.in_flight < self.window && !self.is_resend_due()
    }

    /// Whether something waits to be sent again.
    #[must_use]
    pub fn is_resend_due(&self) -> bool {
        self.waiting().is_some()
    }

    /// The exchanges in order: identifier, stage, and the message if it is still needed.
    pub fn iter(&self) -> impl Iterator<Item = (PacketId, Stage, Option<&M>)> {
        self.exchanges.iter().map(|it| (it.packet_id, it.stage, it.message.as_ref()))
    }

    /// The message of this exchange, if there is such and it is still needed.
    #[must_use]
    pub fn message(&self, packet_id: PacketId) -> Option<&M> {
        let slot = self.slots.find(packet_id)?;
        self.exchanges.get(slot)?.message.as_ref()
    }

    /// Exchanges not yet over.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exchanges.len()
    }

    /// Whether all is acknowledged.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exchanges.len() == 0
    }

    /// Gives back the memory that nothing is in. The next exchange takes it anew.
    pub fn give_back(&mut self) {
        self.exchanges.give_back();
        self.slots.give_back();
    }

    fn append(
        &mut self,
        packet_id: PacketId,
        stage: Stage,
        message: Option<M>,
        is_in_flight: bool,
    ) {
        self.last_id = packet_id;
        let place = self.take_place();
        let exchange = Exchange { place, packet_id, stage, message, is_in_flight };
        // There is a slot for every identifier.
        if let Some(slot) = self.exchanges.push(exchange) {
            self.slots.insert(packet_id, slot);
        }
    }

    fn take_place(&mut self) -> u64 {
        let place = self.next_place;
        self.next_place += 1;
        place
    }

    /// Ends an exchange and gives its room and identifier free.
    fn end(&mut self, packet_id: PacketId, slot: Slot) -> Option<M> {
        self.pass(slot);
        self.slots.remove(packet_id);
        let exchange = self.exchanges.remove(slot)?;
        if exchange.is_in_flight {
            self.in_flight = self.in_flight.saturating_sub(1);
        }
        exchange.message
    }

    /// An exchange leaves its place: if it was the next to be sent again, that is the one after it.
    fn pass(&mut self, slot: Slot) {
        if self.resend_next == Some(slot) {
            self.resend_next = self.exchanges.after(slot);
        }
    }

    /// The first exchange that waits to be sent again.
    fn waiting(&self) -> Option<Slot> {
        let slot = self.resend_next?;
        let exchange = self.exchanges.get(slot)?;
        (exchange.place < self.resend_end).then_some(slot)
    }

    /// Of the exchanges that wait to be sent again and whose PUBLISH is to be `withdrawn`, QoS 1
    /// ends and QoS 2 goes on with PUBREL: were its identifier used anew, the peer could take the
    /// new message for a repetition.
    fn withdraw_waiting(&mut self, withdrawn: impl Fn(&Option<M>) -> bool) {
        let mut ended = Vec::new();
        let end = self.resend_end;
        self.for_each_from(self.resend_next, |exchange| {
            if exchange.place >= end || !withdrawn(&exchange.message) {
                return;
            }
            match exchange.stage {
                Stage::PubAck => ended.push(exchange.packet_id),
                Stage::PubRec => exchange.stage = Stage::PubComp,
                Stage::PubComp => {}
            }
        });
        for packet_id in ended {
            if let Some(slot) = self.slots.find(packet_id) {
                self.end(packet_id, slot);
            }
        }
    }

    fn for_each_from(&mut self, first: Option<Slot>, mut act: impl FnMut(&mut Exchange<M>)) {
        let mut next = first;
        while let Some(slot) = next {
            next = self.exchanges.after(slot);
            self.exchanges.get_mut(slot).map(&mut act);
        }
    }

    /// Where the exchange is, if it waits for `stage`.
    fn slot(&self, packet_id: PacketId, stage: Stage) -> Result<Slot, AckError> {
        let slot = self.slots.find(packet_id).ok_or(AckError::Unknown)?;
        match self.exchanges.get(slot) {
            Some(exchange) if exchange.stage == stage => Ok(slot),
            Some(_) => Err(AckError::WrongStage),
            None => Err(AckError::Unknown),
        }
    }

    /// [MQTT-2.2.1-3] The next identifier that no exchange uses.
    fn free_id(&self) -> Option<PacketId> {
        if self.slots.len() >= usize::from(u16::MAX) {
            return None;
        }
        let first = if self.next_place == 0 { PacketId::MIN } else { self.last_id.next() };
        std::iter::successors(Some(first), |id| Some(id.next()))
            .find(|packet_id| !self.slots.contains(*packet_id))
    }
}
