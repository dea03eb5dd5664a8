//! A MutatingAdmissionPolicy that writes into each `SecureRegistry` who edited its spec last, as `GENERATION/USER`, by the name under
//! which the API server knows them: where a grant demands that somebody else approves, that is whom the approver is compared with. Apart from the other
//! policies, because API servers know the kind since Kubernetes 1.36 only; the policy `spec-editor` keeps the annotation honest on
//! all of them.
//!
//! | request | annotation |
//! | --- | --- |
//! | create, or a change of the spec | the new generation, and whoever makes it |
//! | any other update, whatever it says | as it was |

use serde_json::json;
use sreg_api::GROUP;
use sreg_api::names::ANNOTATION_SPEC_EDITED_BY;

use super::policies::{CONTROLLERS, editor_in, names_editor};
use super::{Installation, Manifest, labels};

/// CEL: the generation that the object will have: mutating admission comes before the API server counts it.
const GENERATION: &str = "string(request.operation == 'CREATE' ? 1 : (object.spec == oldObject.spec ? oldObject.metadata.generation : oldObject.metadata.generation + 1))";

/// CEL: this request leaves the spec as it was.
const UNEDITED: &str = "(request.operation == 'UPDATE' && object.spec == oldObject.spec)";

/// The policy and its binding.
pub(super) fn manifest(installation: &Installation) -> Manifest {
    let name = format!("spec-editor.{GROUP}");
    let annotated = |value: &str| {
        format!("Object{{metadata: Object.metadata{{annotations: {{'{ANNOTATION_SPEC_EDITED_BY}': {value}}}}}}}")
    };
    let was = annotated(&editor_in("oldObject"));
    let is = annotated(&format!("{GENERATION} + '/' + request.userInfo.username"));
    let known = names_editor("oldObject");
    let expression = format!("{UNEDITED} ? (({known}) ? {was} : Object{{}}) : {is}");
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy",
        "metadata": {"name": name, "labels": labels("policy")},
        "spec": {
            // An edit that is not written down would be nobody's.
            "failurePolicy": "Fail",
            // They leave specs alone, and an object that this policy cannot take apart must still be able to go.
            "matchConditions": [{
                "name": "people",
                "expression": format!(
                    "request.userInfo.username != '{}' && !{CONTROLLERS}",
                    installation.operator.user()
                ),
            }],
            "reinvocationPolicy": "IfNeeded",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [GROUP],
                "apiVersions": ["*"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["secureregistries"],
            }]},
            "mutations": [{
                "patchType": "ApplyConfiguration",
                "applyConfiguration": {"expression": expression},
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding",
        "metadata": {"name": name, "labels": labels("policy")},
        "spec": {"policyName": name},
    });
    Manifest::new("editor/spec-editor.yaml", vec![policy, binding])
}
