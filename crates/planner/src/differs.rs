//! Settings of endpoints that exist, compared with the spec. An endpoint can change neither its subnet nor who approves its
//! connection: where it differs a person is told, because making it again cuts clients off.

use sreg_domain::outside::word;
use sreg_domain::seen::EndpointSeen;

use crate::contribution::Contribution;
use crate::endpoints::WantedEndpoint;
use crate::plan::FindingReason;

/// Tells what of an endpoint differs from what the spec says, and what to do.
pub(crate) fn endpoint(w: &WantedEndpoint<'_>, endpoint: &EndpointSeen) -> Contribution {
    let mut draft = Contribution::default();
    let entry = &w.place.name;
    let again = format!(
        "or, while public access is open, delete it (az network private-endpoint delete --ids {}), and it is made again",
        word(&endpoint.id)
    );
    let manual = w.place.manual_request.is_some();
    if endpoint.manual != manual {
        let (made, wanted, keep) = if endpoint.manual {
            ("with a connection that the target's owner approves", "Auto", "Manual")
        } else {
            ("with a connection that is approved automatically", "Manual", "Auto")
        };
        draft.find(
            FindingReason::SettingDiffers,
            format!("private endpoint {} was made {made}, and spec.endpoints[{entry}].approval.mode is {wanted} by now, which Azure cannot change in place: set {keep} to keep it, {again}", w.label()),
        );
    }
    if let Some(subnet) = endpoint.subnet.as_ref().filter(|subnet| **subnet != w.place.subnet) {
        draft.find(
            FindingReason::SettingDiffers,
            format!("private endpoint {} stands in {subnet}, and spec.endpoints[{entry}].subnetResourceId names {}: name the former to keep it, {again}", w.label(), w.place.subnet),
        );
    }
    draft
}
