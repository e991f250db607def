//! Nothing that a peer can present makes the step from certificate to identity panic or guess.

use std::sync::LazyLock;

use pki::{CertificateDer, IdentityError};
use proptest::prelude::*;

use crate::support::{Ca, Leaf, Scene};

struct Fixture {
    scene: Scene,
    ca: Ca,
    /// A good chain of the scene: leaf and intermediate.
    chain: Vec<CertificateDer<'static>>,
}

static FIXTURE: LazyLock<Fixture> = LazyLock::new(|| {
    let (scene, ca) = (Scene::new(), Ca::root("plant CA"));
    scene.trust(&ca);
    let chain = ca.intermediate("line CA", 2).client(&Leaf::named("press-7")).chain;
    Fixture { scene, ca, chain }
});

/// Bytes of a certificate changed at some places, cut, or prolonged.
fn mutated(original: &[u8]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let original = original.to_vec();
    let length = original.len();
    let edits = prop::collection::vec((0..length, any::<u8>()), 1..6);
    (edits, 0..=length, prop::collection::vec(any::<u8>(), 0..4), 0..4_u8).prop_map(
        move |(edits, cut, tail, kind)| {
            let mut bytes = original.clone();
            for (place, value) in edits {
                bytes[place] = value;
            }
            match kind {
                0 => bytes.truncate(cut),
                1 => bytes.extend(tail),
                _ => {}
            }
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_mutated_leaf_is_the_original_or_nobody(
        leaf in mutated(&FIXTURE.chain[0]),
    ) {
        let chain = [CertificateDer::from(leaf), FIXTURE.chain[1].clone()];
        let outcome = FIXTURE.scene.pki.identify(&chain, FIXTURE.scene.now());
        prop_assert!(outcome.is_err() || chain[0] == FIXTURE.chain[0], "{outcome:?}");
    }

    #[test]
    fn a_mutated_intermediate_leads_nowhere(intermediate in mutated(&FIXTURE.chain[1])) {
        let chain = [FIXTURE.chain[0].clone(), CertificateDer::from(intermediate)];
        let outcome = FIXTURE.scene.pki.identify(&chain, FIXTURE.scene.now());
        prop_assert!(outcome.is_err() || chain[1] == FIXTURE.chain[1], "{outcome:?}");
    }

    #[test]
    fn arbitrary_bytes_are_nobody(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let outcome = FIXTURE.scene.pki.identify(&[CertificateDer::from(bytes)], FIXTURE.scene.now());
        prop_assert_eq!(outcome.map(drop), Err(IdentityError::Malformed(1)));
    }

    #[test]
    fn any_printable_name_comes_back_byte_for_byte(name in "[!-~é-ü ]{1,60}") {
        let (scene, ca) = (&FIXTURE.scene, &FIXTURE.ca);
        let chain = ca.client(&Leaf::named(&name)).chain;
        let peer = scene.pki.identify(&chain, scene.now()).unwrap();
        prop_assert_eq!(peer.common_name(), name);
    }

    #[test]
    fn a_mutated_request_is_refused_or_gives_its_own_key(
        request in mutated(crate::issuing::REQUEST.der()),
    ) {
        let text = crate::support::pem_of("CERTIFICATE REQUEST", &request);
        let outcome = FIXTURE.scene.pki.sign_csr(&text, "press-7", 30, FIXTURE.scene.now());
        // What is outside the signature may change without harm; the key may not.
        if let Ok(issued) = outcome {
            prop_assert_eq!(crate::issuing::public_key(&issued), crate::issuing::REQUESTED_KEY.clone());
        }
    }
}
