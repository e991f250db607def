//! A will that waits for the end of its connection, and the room it takes of what all wills have together.

use std::ops::Deref;
use std::sync::Arc;

use access::UserId;
use mqtt::Will;

use crate::hub::Hub;

/// Gives its room back when it is gone, whatever became of it.
#[derive(Debug)]
pub(crate) struct HeldWill(Box<Held>);

/// In a box, as most sessions have none.
#[derive(Debug)]
struct Held {
    will: Arc<Will>,
    user: UserId,
    hub: Arc<Hub>,
}

impl HeldWill {
    /// Takes room of what all wills have and of what this user's have, in place of the will that `former` is.
    ///
    /// # Errors
    /// The limit that leaves not enough.
    pub(crate) fn new(
        will: Will,
        user: UserId,
        former: Option<&HeldWill>,
        hub: &Arc<Hub>,
    ) -> Result<HeldWill, &'static str> {
        let held = HeldWill::restored(Arc::new(will), user, hub);
        // From here on the room is given back even if it was too much.
        let freed = former.map_or(0, |former| bytes(former));
        let limits = hub.limits();
        let of_user = hub.will_bytes_of(user).saturating_sub(freed);
        if of_user > limits.will_bytes_per_user_max {
            return Err("will_bytes_per_user_max");
        }
        if hub.will_bytes().saturating_sub(freed) > limits.will_bytes_max {
            return Err("will_bytes_max");
        }
        Ok(held)
    }

    /// A will that was confirmed before a restart: it counts, and is kept.
    pub(crate) fn restored(will: Arc<Will>, user: UserId, hub: &Arc<Hub>) -> HeldWill {
        hub.enter_will(user, bytes(&will));
        HeldWill(Box::new(Held { will, user, hub: Arc::clone(hub) }))
    }

    /// The will, to be recorded.
    pub(crate) fn share(&self) -> Arc<Will> {
        Arc::clone(&self.0.will)
    }
}

impl Deref for HeldWill {
    type Target = Will;

    fn deref(&self) -> &Will {
        &self.0.will
    }
}

impl Drop for HeldWill {
    fn drop(&mut self) {
        let Held { will, user, hub } = &*self.0;
        hub.leave_will(*user, bytes(will));
    }
}

fn bytes(will: &Will) -> usize {
    let text = will.topic.as_str().len() + will.payload.len() + will.properties.forwardable.len();
    text + WILL_OVERHEAD
}

/// About what a will takes besides its bytes.
const WILL_OVERHEAD: usize = 256;
