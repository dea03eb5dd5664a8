//! ValidatingAdmissionPolicies: who may write what. RBAC decides who reaches a resource at all; these hold even against
//! those whom RBAC lets in, because evidence that anybody may write proves nothing.
//!
//! | policy | resource | who |
//! | --- | --- | --- |
//! | probe-spec | `connectivityprobes` | the operator; deletion also by the cluster's own controllers |
//! | probe-status | `connectivityprobes/status` | the ServiceAccount that the probe names, in the probe's namespace |
//! | probe-results | the same | one result for each path that is asked for, at most |
//! | object-size | every kind of ours | no more annotations, owners and finalizers than a person needs |
//! | registry-status | `secureregistries/status` | the operator |
//! | registry-finalizer | `secureregistries` | our finalizer goes for good by the operator only: others lose it with a replaced manifest |
//! | spec-editor | `secureregistries` | the annotation `spec-edited-by` names for this generation who made it, or nobody |
//! | registry-deletion | `secureregistries` | nobody deletes one that has lost it, before the operator has put it back |
//! | break-glass-status | `breakglasses/status` | the operator |
//! | approval-status | `changeapprovals/status` | the operator |
//! | break-glass-requester | `breakglasses` | `requestedBy` is who creates it |
//! | change-approver | `changeapprovals` | `approvedBy` is who creates it |
//! | grant-status | `registrygrants/status` | the operator |
//! | operator-leases | every Lease in the operator's namespace: claims, the leader's by whatever name, its vantage point's | the operator, and whoever may create RegistryGrants |
//! | operator-configmaps | snapshots and published DNS (`sreg-…`), in the operator's namespace | the same |
//!
//! **The finalizer.** `kubectl replace` sends a whole object, mostly one without finalizers, and the API server takes that for their removal.
//! So it is let through, where `status.releaseRequired` remembers for the operator that it was there; until it is back, in the next pass,
//! the object cannot be deleted. No one is exempt from that, not the cluster's own controllers either: with an owner of one's own making
//! the garbage collector would be a way round. They try again by themselves, so that a namespace still goes.

use serde_json::{Value, json};
use sreg_api::GROUP;
use sreg_api::names::{ANNOTATION_SPEC_EDITED_BY, FINALIZER};

use super::{Installation, Manifest, ServiceAccount, labels};

/// One policy; its binding denies.
struct Policy {
    /// Name within our group, such as `probe-spec`.
    name: &'static str,
    /// API group; its versions are all meant.
    group: &'static str,
    /// Only in this namespace.
    namespace: Option<String>,
    resources: &'static [&'static str],
    operations: &'static [&'static str],
    /// CEL: true admits.
    rule: String,
    /// CEL: a string that says what to do instead.
    says: String,
}

impl Policy {
    /// Names of policies are cluster-wide: ours carry our group.
    fn object_name(&self) -> String {
        format!("{}.{GROUP}", self.name)
    }

    fn policy(&self) -> Value {
        let mut constraints = json!({"resourceRules": [{
            "apiGroups": [self.group],
            "apiVersions": ["*"],
            "operations": self.operations,
            "resources": self.resources,
        }]});
        if let Some(namespace) = &self.namespace {
            constraints["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
        }
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": self.object_name(), "labels": labels("policy")},
            "spec": {
                // Evidence is only worth something while this cannot be passed by.
                "failurePolicy": "Fail",
                "matchConstraints": constraints,
                "validations": [{
                    "expression": self.rule,
                    "messageExpression": self.says,
                    "reason": "Forbidden",
                }],
            },
        })
    }

    fn binding(&self) -> Value {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": self.object_name(), "labels": labels("policy")},
            "spec": {"policyName": self.object_name(), "validationActions": ["Deny"]},
        })
    }
}

/// A file per policy, each with its binding.
pub(super) fn manifests(installation: &Installation) -> Vec<Manifest> {
    policies(installation)
        .iter()
        .map(|policy| {
            Manifest::new(
                format!("policies/{}.yaml", policy.name),
                vec![policy.policy(), policy.binding()],
            )
        })
        .collect()
}

/// CEL: status remembers that our finalizer was put on. Only the operator writes status, and it takes this back never.
const REMEMBERED: &str =
    "has(oldObject.status) && has(oldObject.status.releaseRequired) && oldObject.status.releaseRequired";

/// CEL: the generation that the object has after this request, as a text, and whether that is the one before. The API server has set it
/// by the time it validates, whatever the request said of it.
const GENERATION: &str = "string(object.metadata.generation)";
const UNEDITED: &str = "(request.operation == 'UPDATE' && object.metadata.generation == oldObject.metadata.generation)";

/// CEL: an object names who edited its spec.
pub(super) fn names_editor(object: &str) -> String {
    format!("has({object}.metadata.annotations) && '{ANNOTATION_SPEC_EDITED_BY}' in {object}.metadata.annotations")
}

/// CEL: whom it names.
pub(super) fn editor_in(object: &str) -> String {
    format!("{object}.metadata.annotations['{ANNOTATION_SPEC_EDITED_BY}']")
}

/// Bytes of annotations and labels, names included. `kubectl apply` keeps the whole manifest in one; a RegistryGrant too large for that
/// is applied with `--server-side`.
const MOST_TEXT: usize = 64 * 1024;

/// CEL: a list of the metadata is short, or does not grow.
fn few(list: &str) -> String {
    let (now, before) = (format!("object.metadata.{list}"), format!("oldObject.metadata.{list}"));
    format!(
        "(!has({now}) || size({now}) <= {MOST_REFERENCES} || (request.operation == 'UPDATE' && has({before}) && size({now}) <= size({before})))"
    )
}

/// CEL: how many bytes the annotations and labels of an object have.
fn size_of_texts(object: &str) -> String {
    let of = |texts: &str| {
        let all = format!("{object}.metadata.{texts}");
        format!("(has({all}) ? {all}.map(k, size(bytes(k)) + size(bytes({all}[k]))).sum() : 0)")
    };
    format!("{} + {}", of("annotations"), of("labels"))
}

/// Owners, and finalizers.
const MOST_REFERENCES: usize = 16;

/// CEL: our finalizer is on.
fn has_finalizer(object: &str) -> String {
    format!("has({object}.metadata.finalizers) && '{FINALIZER}' in {object}.metadata.finalizers")
}

/// CEL: the namespace controller and the garbage collector, under either way of running the controller manager.
pub(super) const CONTROLLERS: &str = "(request.userInfo.username.startsWith('system:serviceaccount:kube-system:') || request.userInfo.username == 'system:kube-controller-manager')";

/// Who may act, in CEL.
struct Actors<'a> {
    operator: &'a ServiceAccount,
    is_operator: String,
    is_controller: &'static str,
}

fn policies(installation: &Installation) -> Vec<Policy> {
    let operator = &installation.operator;
    let actors = Actors {
        operator,
        is_operator: format!("request.userInfo.username == '{}'", operator.user()),
        is_controller: CONTROLLERS,
    };
    let mut policies = probes(&actors);
    policies.extend(registries(&actors));
    policies.push(sizes(&actors));
    policies.extend(statuses(&actors));
    policies.extend(kept(&actors));
    policies.extend(people());
    policies
}

/// Who asks, and who answers.
fn probes(actors: &Actors<'_>) -> Vec<Policy> {
    let Actors {
        operator,
        is_operator,
        is_controller,
    } = actors;
    vec![
        Policy {
            name: "probe-spec",
            group: GROUP,
            namespace: None,
            resources: &["connectivityprobes"],
            operations: &["CREATE", "UPDATE", "DELETE"],
            rule: format!(
                "{is_operator} || ({is_controller} && (request.operation == 'DELETE' || (request.operation == 'UPDATE' && object.spec == oldObject.spec)))"
            ),
            says: format!(
                "'only the operator ({operator}) makes, changes and deletes probes: change clientNetworks or verification of the SecureRegistry instead'"
            ),
        },
        Policy {
            name: "probe-status",
            group: GROUP,
            namespace: None,
            resources: &["connectivityprobes/status"],
            operations: &["UPDATE"],
            rule: "request.userInfo.username == 'system:serviceaccount:' + oldObject.metadata.namespace + ':' + oldObject.spec.serviceAccountName".into(),
            says: "'only the vantage point ' + oldObject.spec.vantagePoint + ' reports what it found: run its agent as ServiceAccount ' + oldObject.metadata.namespace + '/' + oldObject.spec.serviceAccountName".into(),
        },
        Policy {
            name: "probe-results",
            group: GROUP,
            namespace: None,
            resources: &["connectivityprobes/status"],
            operations: &["UPDATE"],
            rule: "!has(object.status) || !has(object.status.results) || size(object.status.results) <= size(oldObject.spec.paths)".into(),
            says: "'this probe asks for ' + string(size(oldObject.spec.paths)) + ' paths, and its status tells of ' + string(size(object.status.results)) + ': one result for each path is enough'".into(),
        },
    ]
}

/// Whose the objects are, and what the operator remembers of them.
fn registries(actors: &Actors<'_>) -> Vec<Policy> {
    let Actors {
        operator, is_operator, ..
    } = actors;
    vec![
        Policy {
            name: "registry-status",
            group: GROUP,
            namespace: None,
            resources: &["secureregistries/status"],
            operations: &["UPDATE"],
            rule: is_operator.clone(),
            says: format!(
                "'only the operator ({operator}) writes this status: change the spec, or create a BreakGlass or ChangeApproval'"
            ),
        },
        Policy {
            name: "registry-finalizer",
            group: GROUP,
            namespace: None,
            resources: &["secureregistries"],
            operations: &["UPDATE"],
            rule: format!(
                "{is_operator} || !({}) || ({}) || (!has(oldObject.metadata.deletionTimestamp) && {REMEMBERED})",
                has_finalizer("oldObject"),
                has_finalizer("object")
            ),
            says: format!(
                "'only the operator ({operator}) removes the finalizer {FINALIZER}, once nothing in Azure carries its mark: ' + (has(oldObject.metadata.deletionTimestamp) ? 'wait for it, or, where the operator is gone for good, delete the ValidatingAdmissionPolicyBinding registry-finalizer.{GROUP} first' : 'replace the object again when it has a status, or keep the finalizer in the manifest')"
            ),
        },
        Policy {
            name: "registry-deletion",
            group: GROUP,
            namespace: None,
            resources: &["secureregistries"],
            operations: &["DELETE"],
            rule: format!(
                "has(oldObject.metadata.deletionTimestamp) || ({}) || !({REMEMBERED})",
                has_finalizer("oldObject")
            ),
            says: format!(
                "'SecureRegistry ' + oldObject.metadata.name + ' was replaced by a manifest without the finalizer {FINALIZER}, and what the operator made for it would be forgotten: delete it again in a moment, when the operator has put it back; where the operator is gone for good, delete the ValidatingAdmissionPolicyBinding registry-deletion.{GROUP} first'"
            ),
        },
        Policy {
            name: "spec-editor",
            group: GROUP,
            namespace: None,
            resources: &["secureregistries"],
            operations: &["CREATE", "UPDATE"],
            rule: format!(
                "!({named}) || (request.operation == 'UPDATE' && ({was_named}) && {was} == {is} && ({UNEDITED} || !{is}.startsWith({GENERATION} + '/'))) || (!{UNEDITED} && {is} == {GENERATION} + '/' + request.userInfo.username) || (request.operation == 'CREATE' && !{is}.startsWith({GENERATION} + '/'))",
                named = names_editor("object"),
                was_named = names_editor("oldObject"),
                is = editor_in("object"),
                was = editor_in("oldObject"),
            ),
            says: format!(
                "'annotation {ANNOTATION_SPEC_EDITED_BY} says who made generation ' + {GENERATION} + ' of the spec, and is written only together with an edit of it: leave it as it is, or edit the spec as well and write ' + ({UNEDITED} ? string(object.metadata.generation + 1) : {GENERATION}) + '/' + request.userInfo.username"
            ),
        },
    ]
}

/// How large anything may be that the operator reads.
fn sizes(actors: &Actors<'_>) -> Policy {
    let Actors {
        is_operator,
        is_controller,
        ..
    } = actors;
    Policy {
        name: "object-size",
        group: GROUP,
        namespace: None,
        resources: &[
            "breakglasses",
            "changeapprovals",
            "connectivityprobes",
            "registrygrants",
            "secureregistries",
            "vantagepoints",
        ],
        operations: &["CREATE", "UPDATE"],
        rule: format!(
            "{is_operator} || {is_controller} || ((({size}) <= {MOST_TEXT} || (request.operation == 'UPDATE' && ({size}) <= ({before}))) && {owners} && {finalizers})",
            size = size_of_texts("object"),
            before = size_of_texts("oldObject"),
            owners = few("ownerReferences"),
            finalizers = few("finalizers"),
        ),
        says: format!(
            "'at most {} KiB of annotations and labels, {MOST_REFERENCES} owners and {MOST_REFERENCES} finalizers: each is read whole whenever the operator looks. Apply a large manifest with --server-side, which keeps no copy of it in an annotation'",
            MOST_TEXT / 1024
        ),
    }
}

/// What only the operator tells.
fn statuses(actors: &Actors<'_>) -> Vec<Policy> {
    let Actors {
        operator, is_operator, ..
    } = actors;
    vec![
        Policy {
            name: "break-glass-status",
            group: GROUP,
            namespace: None,
            resources: &["breakglasses/status"],
            operations: &["UPDATE"],
            rule: is_operator.clone(),
            says: format!("'only the operator ({operator}) writes this status: delete the BreakGlass to end it early'"),
        },
        Policy {
            name: "approval-status",
            group: GROUP,
            namespace: None,
            resources: &["changeapprovals/status"],
            operations: &["UPDATE"],
            rule: is_operator.clone(),
            says: format!(
                "'only the operator ({operator}) writes this status: delete the ChangeApproval to withdraw it'"
            ),
        },
        Policy {
            name: "grant-status",
            group: GROUP,
            namespace: None,
            resources: &["registrygrants/status"],
            operations: &["UPDATE"],
            rule: is_operator.clone(),
            says: format!("'only the operator ({operator}) writes this status: change the spec of the RegistryGrant'"),
        },
    ]
}

/// What the operator keeps in its namespace.
fn kept(actors: &Actors<'_>) -> Vec<Policy> {
    let Actors {
        operator,
        is_operator,
        is_controller,
    } = actors;
    vec![
        state(
            "operator-leases",
            ("coordination.k8s.io", &["leases"]),
            None,
            operator,
            (is_operator, is_controller),
        ),
        state(
            "operator-configmaps",
            ("", &["configmaps"]),
            Some("sreg-"),
            operator,
            (is_operator, is_controller),
        ),
    ]
}

/// Who asks, and who approves, is who creates.
fn people() -> Vec<Policy> {
    vec![
        Policy {
            name: "break-glass-requester",
            group: GROUP,
            namespace: None,
            resources: &["breakglasses"],
            operations: &["CREATE"],
            rule: "object.spec.requestedBy == request.userInfo.username".into(),
            says: "'requestedBy must be the user who creates the BreakGlass: write requestedBy: ' + request.userInfo.username".into(),
        },
        Policy {
            name: "change-approver",
            group: GROUP,
            namespace: None,
            resources: &["changeapprovals"],
            operations: &["CREATE"],
            rule: "object.spec.approvedBy == request.userInfo.username".into(),
            says: "'approvedBy must be the user who creates the ChangeApproval: write approvedBy: ' + request.userInfo.username".into(),
        },
    ]
}

/// What the operator keeps in its own namespace: ConfigMaps that `begin` so, and every Lease, because the leader's may be called anything
/// (`--lease-name`) and no other program has business there. Who may write there by RBAC still may not take a claim, change what
/// opening restores, or make another leader; who administers grants may, to repair things.
fn state(
    name: &'static str,
    (group, resources): (&'static str, &'static [&'static str]),
    begin: Option<&str>,
    operator: &ServiceAccount,
    (is_operator, is_controller): (&str, &str),
) -> Policy {
    let administers = format!("authorizer.group('{GROUP}').resource('registrygrants').check('create').allowed()");
    let named = "(request.operation == 'DELETE' ? oldObject : object).metadata.name";
    let others = begin.map_or(String::new(), |begin| format!("!{named}.startsWith('{begin}') || "));
    Policy {
        name,
        group,
        namespace: Some(operator.namespace.clone()),
        resources,
        operations: &["CREATE", "UPDATE", "DELETE"],
        rule: format!("{is_operator} || {others}(request.operation == 'DELETE' && {is_controller}) || {administers}"),
        says: format!(
            "'only the operator ({operator}), or whoever may create RegistryGrants, writes ' + {named} + ': it says who leads or holds a registry, or what opening it restores'"
        ),
    }
}
