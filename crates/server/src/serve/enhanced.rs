//! Enhanced authentication (5.0, section 4.12): the place of its methods.
//!
//! A CONNECT that names one is a conversation of AUTH packets until CONNACK, and may be repeated later. A method to
//! come is a variant of [`Method`], whose match in `login` then does not compile until it holds that conversation and its
//! end is a proof for `Engine::attach`. There is none yet, so that every name is unknown, no AUTH packet has a place, and
//! the engine treats each as a protocol error.

/// A way to prove oneself in several steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {}

/// The method of this name, if there is one.
pub(crate) fn method(name: &str) -> Option<Method> {
    METHODS.iter().find(|(known, _)| *known == name).map(|(_, method)| *method)
}

const METHODS: [(&str, Method); 0] = [];
