//! Kustomize bases that run operator and agent: restricted pod security, probes, requests. Overlays set the image, the
//! workload identity's client id and the Azure settings.

use serde_json::{Value, json};
use sreg_domain::BuiltInCloud;

use super::{Agent, Image, Installation, Manifest, ServiceAccount, kustomization, labels};

/// Port of `/livez`, `/readyz` and `/metrics`.
const HEALTH_PORT: u16 = 8080;

/// Where the token that Azure trusts is put. Volume, file and folder are called as the workload identity webhook calls them: it
/// leaves alone what it finds under these names, so that both can be there.
const AZURE_TOKEN: &str = "azure-identity-token";
const AZURE_TOKEN_FOLDER: &str = "/var/run/secrets/azure/tokens";

/// Base of the operator; holds definitions, policies and RBAC too.
pub(super) fn operator(installation: &Installation) -> Vec<Manifest> {
    let account = &installation.operator;
    let component = "operator";
    let pod = Pod {
        name: "secure-registry-operator",
        component,
        account,
        image: &installation.image,
        // Two: the standby takes over within a second when the leader ends in good order.
        replicas: 2,
        strategy: "RollingUpdate",
        args: json!([
            "run",
            format!("--health-address=0.0.0.0:{HEALTH_PORT}"),
            "--log-format=json"
        ]),
        env: json!([
            field("POD_NAME", "metadata.name"),
            field("POD_NAMESPACE", "metadata.namespace"),
            // Explicit: a pod that was made while the webhook was down has its token all the same.
            {"name": "AZURE_FEDERATED_TOKEN_FILE", "value": format!("{AZURE_TOKEN_FOLDER}/{AZURE_TOKEN}")},
        ]),
        cloud: installation.azure_cloud,
        token_audience: Some(&installation.token_exchange_audience),
        memory: "256Mi",
    };
    let resources = json!([
        "namespace.yaml",
        "../crds",
        "../policies",
        "../rbac/operator",
        "../rbac/people",
        "service-account.yaml",
        "deployment.yaml",
    ]);
    vec![
        Manifest::new("base/namespace.yaml", vec![namespace(&account.namespace, component)]),
        Manifest::new("base/service-account.yaml", vec![service_account(account, component)]),
        Manifest::new("base/deployment.yaml", vec![pod.deployment(), pod.disruption_budget()]),
        Manifest::new(
            "base/kustomization.yaml",
            vec![kustomization(json!({"resources": resources}))],
        ),
    ]
}

/// Base of the first agent, in the operator's cluster, with its rights.
pub(super) fn agent(installation: &Installation) -> Vec<Manifest> {
    let Some(Agent { vantage_point, account }) = installation.agents.first() else {
        return Vec::new();
    };
    let component = "agent";
    let pod = Pod {
        name: "secure-registry-agent",
        component,
        account,
        image: &installation.image,
        // Two agents of one vantage point would answer for each other.
        replicas: 1,
        strategy: "Recreate",
        args: json!([
            "agent",
            format!("--health-address=0.0.0.0:{HEALTH_PORT}"),
            "--log-format=json"
        ]),
        env: json!([{"name": "VANTAGE_POINT", "value": vantage_point}, field("POD_NAME", "metadata.name")]),
        cloud: installation.azure_cloud,
        token_audience: None,
        memory: "64Mi",
    };
    let resources = json!([
        "namespace.yaml",
        "../rbac/agent",
        "service-account.yaml",
        "deployment.yaml"
    ]);
    vec![
        Manifest::new("agent/namespace.yaml", vec![namespace(&account.namespace, component)]),
        Manifest::new("agent/service-account.yaml", vec![service_account(account, component)]),
        Manifest::new("agent/deployment.yaml", vec![pod.deployment()]),
        Manifest::new(
            "agent/kustomization.yaml",
            vec![kustomization(json!({"resources": resources}))],
        ),
    ]
}

/// What differs between the two pods.
struct Pod<'a> {
    name: &'a str,
    component: &'a str,
    account: &'a ServiceAccount,
    image: &'a Image,
    replicas: u8,
    strategy: &'a str,
    args: Value,
    env: Value,
    cloud: BuiltInCloud,
    /// Audience of its token for Azure; `None`: it has no identity there.
    token_audience: Option<&'a str>,
    memory: &'a str,
}

impl Pod<'_> {
    fn deployment(&self) -> Value {
        let mut pod_labels = labels(self.component);
        if self.token_audience.is_some() {
            // The workload identity webhook adds client and tenant; without the webhook it means nothing.
            pod_labels["azure.workload.identity/use"] = json!("true");
        }
        let mut deployment = json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.metadata(),
            "spec": {
                "replicas": self.replicas,
                "strategy": {"type": self.strategy},
                "selector": {"matchLabels": labels(self.component)},
                "template": {
                    "metadata": {"labels": pod_labels},
                    "spec": {
                        "serviceAccountName": self.account.name,
                        // Said here, and denied by the account: what else runs as it there gets no token unasked.
                        "automountServiceAccountToken": true,
                        "securityContext": {
                            "runAsNonRoot": true,
                            "runAsUser": 65532,
                            "runAsGroup": 65532,
                            "seccompProfile": {"type": "RuntimeDefault"},
                        },
                        // A step that has begun may finish before the lease is released.
                        "terminationGracePeriodSeconds": 60,
                        "containers": [self.container()],
                    },
                },
            },
        });
        if let Some(audience) = self.token_audience {
            deployment["spec"]["template"]["spec"]["volumes"] = json!([azure_token(audience)]);
        }
        deployment
    }

    fn container(&self) -> Value {
        let probe = |path: &str| json!({"httpGet": {"path": path, "port": "health"}, "periodSeconds": 10});
        let mut env = self.env.clone();
        if let (Some(env), true) = (env.as_array_mut(), self.cloud != BuiltInCloud::AzurePublic) {
            env.push(json!({"name": "SREG_AZURE_CLOUD", "value": self.cloud.to_string()}));
        }
        let mut container = json!({
            "name": self.component,
            "image": self.image.as_str(),
            "args": self.args,
            "env": env,
            "ports": [{"name": "health", "containerPort": HEALTH_PORT}],
            "livenessProbe": probe("/livez"),
            "readinessProbe": probe("/readyz"),
            "resources": {
                "requests": {"cpu": "50m", "memory": "64Mi"},
                "limits": {"memory": self.memory},
            },
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": true,
            },
        });
        if self.token_audience.is_some() {
            container["volumeMounts"] =
                json!([{"name": AZURE_TOKEN, "mountPath": AZURE_TOKEN_FOLDER, "readOnly": true}]);
        }
        container
    }

    fn disruption_budget(&self) -> Value {
        json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": self.metadata(),
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels(self.component)}},
        })
    }

    fn metadata(&self) -> Value {
        json!({"name": self.name, "namespace": self.account.namespace, "labels": labels(self.component)})
    }
}

/// The ServiceAccount's token for Azure, which the kubelet renews.
fn azure_token(audience: &str) -> Value {
    let token = json!({
        "path": AZURE_TOKEN,
        "audience": audience,
        "expirationSeconds": 3600,
    });
    json!({"name": AZURE_TOKEN, "projected": {"sources": [{"serviceAccountToken": token}]}})
}

fn field(name: &str, path: &str) -> Value {
    json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}})
}

fn namespace(name: &str, component: &str) -> Value {
    let mut labels = labels(component);
    labels["pod-security.kubernetes.io/enforce"] = json!("restricted");
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

fn service_account(account: &ServiceAccount, component: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": account.name, "namespace": account.namespace, "labels": labels(component)},
        "automountServiceAccountToken": false,
    })
}
