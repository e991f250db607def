//! A will that waits for the end of its connection, and the room it takes of what all wills have together.

use std::ops::Deref;
use std::sync::Arc;

use mqtt::Will;

use crate::hub::Hub;

/// Gives its room back when it is gone, whatever became of it.
#[derive(Debug)]
pub(crate) struct HeldWill {
    will: Arc<Will>,
    hub: Arc<Hub>,
}

impl HeldWill {
    /// Takes room in place of the will that `former` is; `None` if there is not enough.
    pub(crate) fn new(will: Will, former: Option<&HeldWill>, hub: &Arc<Hub>) -> Option<HeldWill> {
        let before = hub.enter_will(bytes(&will));
        // From here on the room is given back even if it was too much.
        let held = HeldWill { will: Arc::new(will), hub: Arc::clone(hub) };
        let freed = former.map_or(0, |former| bytes(former));
        let bytes_max = hub.limits().will_bytes_max.saturating_add(freed);
        (before.saturating_add(bytes(&held)) <= bytes_max).then_some(held)
    }

    /// A will that was confirmed before a restart: it counts, and is kept.
    pub(crate) fn restored(will: Arc<Will>, hub: &Arc<Hub>) -> HeldWill {
        hub.enter_will(bytes(&will));
        HeldWill { will, hub: Arc::clone(hub) }
    }

    /// The will, to be recorded.
    pub(crate) fn share(&self) -> Arc<Will> {
        Arc::clone(&self.will)
    }
}

impl Deref for HeldWill {
    type Target = Will;

    fn deref(&self) -> &Will {
        &self.will
    }
}

impl Drop for HeldWill {
    fn drop(&mut self) {
        self.hub.leave_will(bytes(&self.will));
    }
}

fn bytes(will: &Will) -> usize {
    let text = will.topic.as_str().len() + will.payload.len() + will.properties.forwardable.len();
    text + WILL_OVERHEAD
}

/// About what a will takes besides its bytes.
const WILL_OVERHEAD: usize = 256;
