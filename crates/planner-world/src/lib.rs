//! A small pure world to plan in: what Azure and the cluster hold, what each step does to it, what agents would see. It knows
//! nothing of the planner's gates, so that it can disagree with them.
#![allow(
    missing_docs,
    clippy::unnecessary_to_owned,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use sreg_api::SecureRegistry;
use sreg_api::names::CLAIM_TAG;
use sreg_api::vantage_point::VantageNetwork;
use sreg_domain::claim_mark::ClaimMark;
use sreg_domain::desired::NetworkPlace;
use sreg_domain::seen::*;
use sreg_domain::{
    ArmId, BuiltInCloud, Cloud, Desired, Digest, EndpointGroup, Fact, Fqdn, Grants, Location, PublicNetworkAccess,
    Seen, TargetKind, naming,
};
use sreg_planner::{Floors, PlanSettings, validate};

pub mod accounts;
pub mod advice;
pub mod agents;
pub mod apply;
pub mod contrary;
pub mod creation;
pub mod forgetting;
pub mod grants;
pub mod nasty;
pub mod people;
pub mod policies;
pub mod required;
pub mod rights;
pub mod scramble;
pub mod settings;
pub mod strangers;
pub mod surroundings;
pub mod visits;
pub mod words;

pub use accounts::*;

pub const SUB: &str = "/subscriptions/00000000-0000-0000-0000-000000000001";
pub const REGISTRY: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/contosoreg";
pub const MANAGED: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/azureml-rg-contosoreg_1";
/// The cluster that the object lives in.
pub const CLUSTER: &str = "0c0c0c0c-0000-4000-8000-000000000001";
pub const START: &str = "2026-11-23T12:00:00Z";

pub fn id(text: &str) -> ArmId {
    text.parse().unwrap()
}

/// A policy that forbids opening again, in these words.
pub fn obstacle(message: &str) -> Obstacle {
    Obstacle {
        kind: ObstacleKind::PolicyAssignment,
        key: message.into(),
        message: message.into(),
    }
}

pub fn vnet(name: &str) -> ArmId {
    id(&format!(
        "{SUB}/resourceGroups/net-{name}/providers/Microsoft.Network/virtualNetworks/{name}"
    ))
}

pub fn storage(name: &str) -> ArmId {
    id(&format!("{MANAGED}/providers/Microsoft.Storage/storageAccounts/{name}"))
}

pub fn acr() -> ArmId {
    id(&format!(
        "{MANAGED}/providers/Microsoft.ContainerRegistry/registries/contosoacr"
    ))
}

/// The everyday spec: a hub with the endpoints, a spoke that is linked to its zones, an office behind a forwarder.
pub const SPEC: &str = r#"
apiVersion: secureregistry.dev/v1alpha1
kind: SecureRegistry
metadata: {name: contoso-models, namespace: ml-platform, uid: 11111111-2222-3333-4444-555555555555, generation: 1}
spec:
  registry:
    resourceId: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ml/providers/Microsoft.MachineLearningServices/registries/contosoreg
    tags: {owner: ml-platform}
  endpoints:
    - name: hub
      subnetResourceId: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net-hub/providers/Microsoft.Network/virtualNetworks/hub/subnets/endpoints
      dns:
        linkVirtualNetworks:
          - /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net-hub/providers/Microsoft.Network/virtualNetworks/hub
          - /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net-spoke/providers/Microsoft.Network/virtualNetworks/spoke
  clientNetworks:
    - {name: hub, virtualNetworkResourceId: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net-hub/providers/Microsoft.Network/virtualNetworks/hub, vantagePoint: hub-agent}
    - {name: spoke, virtualNetworkResourceId: /subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net-spoke/providers/Microsoft.Network/virtualNetworks/spoke, vantagePoint: spoke-agent}
    - {name: office, onPremises: {addressPrefixes: [10.200.0.0/16]}, vantagePoint: office-agent}
  verification: {consecutiveSuccesses: 3, interval: 30s, maxAge: 10m, dnsSettle: 1h}
"#;

/// The public cloud, read once: some tests make a hundred thousand worlds.
pub fn cloud() -> Arc<Cloud> {
    static CLOUD: LazyLock<Arc<Cloud>> = LazyLock::new(|| Arc::new(BuiltInCloud::AzurePublic.cloud().unwrap()));
    Arc::clone(&CLOUD)
}

pub fn settings() -> PlanSettings {
    PlanSettings {
        installation: "test".into(),
        cloud: cloud(),
        max_break_glass: Duration::from_secs(4 * 3600),
        floors: Floors::default(),
        cluster: CLUSTER.into(),
    }
}

pub fn object(yaml: &str) -> SecureRegistry {
    serde_saphyr::from_str(yaml).unwrap()
}

const NO_DURATION: &str = "soon";

/// A window that the API server takes for one, and that never opens.
pub fn bad_window(object: &mut SecureRegistry) {
    object.spec.public_access.lockdown = Some(sreg_api::registry::LockdownSpec {
        wait_for: vec![sreg_api::registry::LockdownGate::Window],
        window: Some(sreg_api::registry::WindowSpec {
            schedule: "every tuesday at night".into(),
            time_zone: "UTC".into(),
            duration: "2h".into(),
        }),
    });
}

pub(crate) fn wished(object: &SecureRegistry, grants: Option<&Grants>) -> Desired {
    let all = || Grants::new(vec![grants::everything(object)]);
    validate(object, &settings(), &grants.cloned().unwrap_or_else(all)).unwrap_or_else(|v| panic!("{v:?}"))
}

impl World {
    /// What the object wants now, by what is granted and where it lives.
    pub fn wish(&mut self) {
        self.desired = wished(&self.object, self.grants.as_ref());
        self.desired.cluster.clone_from(&self.cluster);
    }
}

/// One object and all that surrounds it.
#[derive(Clone)]
pub struct World {
    pub object: SecureRegistry,
    /// Id of the cluster that it lives in.
    pub cluster: String,
    pub desired: Desired,
    /// What administrators grant; `None`: everything.
    pub grants: Option<Grants>,
    pub seen: Seen,
    pub now: Timestamp,
    /// Disabling the registry closes storage and container registry with it.
    pub cascades: bool,
    /// Endpoints, zone groups and links take until the next [`World::pass`] instead of being there at once.
    pub slow: bool,
    /// Paths that fail though the world would let them pass: (network, fqdn).
    pub broken: BTreeSet<(String, String)>,
    /// Firewall rules (by what they name) that Azure refuses to write; whether only because something is being changed.
    pub refuses: BTreeMap<String, bool>,
    /// It refuses them also where they stand: a service endpoint is gone since.
    pub refuses_what_stands: bool,
    /// Vantage points whose agents do not answer.
    pub silent: BTreeSet<String>,
    /// Vantage points whose agents do not tell the truth.
    pub liars: BTreeMap<String, people::Lie>,
    /// What becomes of writes, by how the names of their steps begin; the first that fits counts.
    pub contrary: Vec<(String, contrary::Contrary)>,
    /// What Azure was before a write that somebody puts back.
    pub undo: Option<Box<AzureSeen>>,
    /// Every write to Azure: when, and which resource.
    pub writes: Vec<(Timestamp, ArmId)>,
    /// DNS servers that know nothing of our zones and answer publicly, and those that answer nothing.
    pub public_servers: BTreeSet<String>,
    pub mute_servers: BTreeSet<String>,
    /// The registry's endpoint carries one name, which holds no region.
    pub odd_registry_names: bool,
    /// Facts (by number, see [`World::forgetters`]) that the next visit cannot read.
    pub unread: Vec<u8>,
    /// The object is gone: its finalizer went while it was being deleted.
    pub gone: bool,
    pub addresses: u32,
    /// Assigned policies that make zone groups, with `dns.mode: Policy`.
    pub dns_policies: Fact<Vec<policies::DnsPolicy>>,
    /// Whoever may write words beside us writes such as do something to whoever reads them.
    pub nasty: bool,
    /// Locks: id and level.
    pub locks: Vec<LockSeen>,
    /// What is answered to whoever asks for locks, instead of the locks.
    pub locks_answer: Option<Fact<Vec<LockSeen>>>,
    /// Deny assignments, wherever they stand.
    pub denials: Vec<DenyAssignment>,
    /// Why deny assignments cannot be read.
    pub unread_denials: Option<Ignorance>,
    /// The same for some scopes only.
    pub unread_denials_at: BTreeMap<ArmId, Ignorance>,
    /// Endpoints that Azure does not delete.
    pub undeletable: BTreeSet<ArmId>,
    /// Every step that was carried out.
    pub journal: Vec<String>,
}

/// What a deployment stack that denies writes and deletions sets on one of its resources.
pub fn stack_on(scope: &str) -> DenyAssignment {
    DenyAssignment {
        id: format!("{scope}/providers/Microsoft.Authorization/denyAssignments/stack"),
        name: format!(
            "Deny assignment 'stack' created by Deployment Stack '{SUB}/providers/Microsoft.Resources/deploymentStacks/platform'."
        ),
        scope: scope.to_owned(),
        permissions: vec![(vec!["*/write".into(), "*/delete".into()], Vec::new())],
        principals: vec![DenyAssignment::EVERYONE.into()],
        ..DenyAssignment::default()
    }
}

pub fn region(name: &str, storage: &[ArmId]) -> RegionSeen {
    let storage = storage.iter().cloned().map(Some).collect();
    RegionSeen {
        location: name.into(),
        accounts: BTreeMap::from([
            (TargetKind::Storage, storage),
            (TargetKind::ContainerRegistry, vec![Some(acr())]),
        ]),
    }
}

/// A target that is open to everybody.
fn open_target(id: ArmId, details: TargetDetails) -> TargetSeen {
    let mut seen = TargetSeen {
        id,
        public_network_access: Some("Enabled".into()),
        default_action: Some("Allow".into()),
        bypass: Some("AzureServices".into()),
        ip_rules: Vec::new(),
        virtual_network_rules: Vec::new(),
        resource_access_rules: Vec::new(),
        names: BTreeMap::new(),
        provisioning_state: Some("Succeeded".into()),
        private_endpoints: Vec::new(),
        network: serde_json::Value::Null,
        digest: Digest::from_text(""),
        details,
    };
    if seen.kind() == TargetKind::Registry {
        (seen.default_action, seen.bypass, seen.provisioning_state) = (None, None, None);
    }
    apply::touch(&mut seen);
    seen
}

pub fn open_storage(account: &str, hns: bool) -> TargetSeen {
    let details = StorageDetails {
        hierarchical_namespace: hns,
        secondary_hosts: Vec::new(),
        shared_keys: false,
    };
    let mut seen = open_target(storage(account), TargetDetails::Storage(details));
    let name = |side: &str| format!("{account}.{side}.core.windows.net").parse().unwrap();
    seen.names = BTreeMap::from([(EndpointGroup::Blob, name("blob")), (EndpointGroup::Dfs, name("dfs"))]);
    seen
}

pub fn open_acr() -> TargetSeen {
    let details = ContainerRegistryDetails {
        data_endpoints: Vec::new(),
        replicas: Fact::Seen(vec!["westeurope".into()]),
        replicas_in_passing: Vec::new(),
        tasks_kept_out: false,
        anonymous_pull: false,
        admin_user: false,
        export_policy: None,
    };
    let mut seen = open_target(acr(), TargetDetails::ContainerRegistry(details));
    let login_server = "contosoacr.azurecr.io".parse().unwrap();
    seen.names = BTreeMap::from([(EndpointGroup::ContainerRegistry, login_server)]);
    seen
}

pub fn open_registry() -> TargetSeen {
    let details = RegistryDetails {
        location: "westeurope".into(),
        tags: BTreeMap::from([("owner".to_owned(), "ml-platform".to_owned())]),
        managed_resource_group: Some(id(MANAGED)),
        regions: vec![region("westeurope", &[storage("contosostore")])],
        ungranted_accounts: Vec::new(),
        assigned_identities: Vec::new(),
    };
    open_target(id(REGISTRY), TargetDetails::Registry(details))
}

/// The registry as an earlier visit has claimed it.
pub fn claimed_registry(desired: &Desired) -> TargetSeen {
    let mut seen = open_registry();
    let mark = desired.claim_mark().to_string();
    seen.as_registry().tags.insert(CLAIM_TAG.to_owned(), mark);
    apply::touch(&mut seen);
    seen
}

impl World {
    /// What the claim tag says where an object, `cluster/namespace/name/uid`, holds the registry.
    pub fn mark_of(&self, object: &str) -> String {
        format!("{object}/{}", ClaimMark::registry_digest(&self.desired.registry))
    }

    /// Somebody makes the registry's claim tag say this, or takes it away.
    pub fn tag_claim(&mut self, says: Option<&str>) {
        change_registry(self, |registry| {
            registry.tags.remove(CLAIM_TAG);
            let says = says.map(|says| (CLAIM_TAG.to_owned(), says.to_owned()));
            registry.tags.extend(says);
        });
    }
}

/// Each agent has an account of its own.
pub fn point(name: &str, network: VantageNetwork, virtual_network: Option<ArmId>) -> Fact<VantagePointSeen> {
    Fact::Seen(VantagePointSeen {
        uid: "point".into(),
        generation: 1,
        network,
        virtual_network,
        namespace: "vantage".into(),
        service_account: name.into(),
        alive: Fact::Seen(true),
        renewed: None,
    })
}

/// `hub` is 10.0.0.0/16, every other network a prefix of its own.
pub fn address_space_of(network: &ArmId) -> String {
    let second = match network.name() {
        "hub" => 0,
        other => 1 + other.bytes().fold(0u32, |sum, b| (sum * 31 + u32::from(b)) % 90),
    };
    format!("10.{second}.0.0/16")
}

/// A zone of another team's, in their resource group, that this network is linked to.
pub fn linked_elsewhere(group: &str, zone: &str, network: &str) -> ZoneSeen {
    let id = id(&format!(
        "{SUB}/resourceGroups/{group}/providers/Microsoft.Network/privateDnsZones/{zone}"
    ));
    ZoneSeen {
        tags: Default::default(),
        owner: None,
        links: Fact::Seen(vec![LinkSeen {
            tags: Default::default(),
            id: id.child("virtualNetworkLinks", network),
            virtual_network: vnet(network),
            completed: true,
            resolution_policy: None,
        }]),
        records: Fact::not_read("not ours"),
        id,
    }
}

impl World {
    /// A public registry in one region, nothing done yet.
    pub fn public(yaml: &str) -> World {
        let object = object(yaml);
        let desired = wished(&object, None);
        assert_eq!(desired.what_is_wrong(), None);
        let now: Timestamp = START.parse().unwrap();
        let azure = AzureSeen {
            principal: Fact::Seen(Principal {
                object_id: "operator".into(),
                tenant_id: "tenant".into(),
            }),
            targets: [
                claimed_registry(&desired),
                open_storage("contosostore", false),
                open_acr(),
            ]
            .into_iter()
            .map(|target| (target.id.clone(), Fact::Seen(target)))
            .collect(),
            discovery: Fact::Seen(vec![registry_name("westeurope")]),
            deny_assignments: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            accounts_left: BTreeMap::new(),
            subnets: BTreeMap::new(),
            virtual_networks: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            zones: BTreeMap::new(),
            zones_elsewhere: Fact::Seen(Vec::new()),
            zone_group_policies: BTreeMap::new(),
            records_by_policy: BTreeMap::new(),
            shared_storage: BTreeMap::new(),
            recent_public_clients: Fact::Absent,
            reopening_obstacles: Fact::Seen(Vec::new()),
            removal_obstacles: BTreeMap::new(),
            closing_obstacles: BTreeMap::new(),
            locks: BTreeMap::new(),
            rights: BTreeMap::new(),
            operations: Vec::new(),
            also_changed: Vec::new(),
            odd: Vec::new(),
        };
        let cluster = ClusterSeen {
            claim: Fact::Absent,
            vantage_points: BTreeMap::new(),
            probes: BTreeMap::new(),
            snapshot: Fact::Absent,
            restored: None,
            published_dns: Fact::Absent,
            approvals: Fact::Seen(Vec::new()),
            break_glasses: Fact::Seen(Vec::new()),
        };
        let seen = Seen {
            at: now,
            nonce: 4711,
            object: ObjectSeen::default(),
            cluster,
            azure,
            memory: Memory::default(),
        };
        let mut world = World {
            object,
            cluster: CLUSTER.into(),
            desired,
            grants: None,
            seen,
            now,
            cascades: false,
            slow: false,
            broken: BTreeSet::new(),
            refuses: BTreeMap::new(),
            refuses_what_stands: false,
            silent: BTreeSet::new(),
            liars: BTreeMap::new(),
            contrary: Vec::new(),
            undo: None,
            writes: Vec::new(),
            public_servers: BTreeSet::new(),
            mute_servers: BTreeSet::new(),
            odd_registry_names: false,
            unread: Vec::new(),
            gone: false,
            addresses: 4,
            dns_policies: Fact::Seen(vec![policies::DnsPolicy::of_all()]),
            nasty: false,
            locks: Vec::new(),
            locks_answer: None,
            denials: Vec::new(),
            unread_denials: None,
            unread_denials_at: BTreeMap::new(),
            undeletable: BTreeSet::new(),
            journal: Vec::new(),
        };
        world.look_around();
        world
    }

    pub fn everyday() -> World {
        World::public(SPEC)
    }

    /// Two regions; the second one's storage has a hierarchical namespace.
    pub fn two_regions(yaml: &str) -> World {
        let mut world = World::public(yaml);
        let azure = &mut world.seen.azure;
        azure
            .targets
            .insert(storage("contosonorth"), Fact::Seen(open_storage("contosonorth", true)));
        azure.discovery = Fact::Seen(vec![registry_name("westeurope"), registry_name("northeurope")]);
        let north = region("northeurope", &[storage("contosonorth")]);
        change_registry(&mut world, |registry| registry.regions.push(north));
        change_acr(&mut world, |acr| {
            acr.as_acr().replicas = Fact::Seen(vec!["westeurope".into(), "northeurope".into()]);
        });
        world.look_around();
        world
    }

    /// Changes the spec as a user would, who also repairs what [`World::misspec_drift`] broke.
    pub fn respec(&mut self, change: impl FnOnce(&mut SecureRegistry)) {
        self.declare(|object| {
            change(object);
            if object.spec.drift.interval == NO_DURATION {
                object.spec.drift.interval = "10m".into();
            }
        });
        assert_eq!(self.desired.what_is_wrong(), None);
        self.look_around();
    }

    /// Changes the spec so that it breaks a rule.
    pub fn misspec(&mut self, change: impl FnOnce(&mut SecureRegistry)) {
        self.declare(change);
        assert!(!self.desired.is_whole());
    }

    /// Changes the spec; what is granted decides whether that may be carried out.
    pub fn turn_ungranted(&mut self, change: impl FnOnce(&mut SecureRegistry)) {
        self.declare(change);
        self.look_around();
    }

    /// The generation moves.
    fn declare(&mut self, change: impl FnOnce(&mut SecureRegistry)) {
        change(&mut self.object);
        self.object.metadata.generation = Some(self.object.metadata.generation.unwrap_or(1) + 1);
        self.wish();
    }

    /// What was deleted is applied again: another object of the same name, of which nobody has seen anything yet.
    pub fn come_again(&mut self) {
        self.gone = false;
        self.seen.object = ObjectSeen::default();
        self.object.metadata.deletion_timestamp = None;
        self.object.metadata.uid = Some("99999999-2222-3333-4444-555555555555".into());
    }

    /// Breaks a rule in a place that has nothing to do with access or names.
    pub fn misspec_drift(&mut self) {
        self.misspec(|o| o.spec.drift.interval = NO_DURATION.into());
    }

    /// Somebody deletes the object.
    pub fn delete(&mut self) {
        self.seen.object.deleting = true;
        self.object.metadata.deletion_timestamp = Some(Time(START.parse().unwrap()));
        self.wish();
    }

    /// What a look at Azure would add: everything that the spec names is looked at, found or absent.
    pub fn look_around(&mut self) {
        for place in self.desired.endpoints() {
            let known = SubnetSeen {
                id: place.subnet.clone(),
                free_addresses: Some(200),
            };
            self.seen
                .azure
                .subnets
                .entry(place.subnet.clone())
                .or_insert(Fact::Seen(known));
            let clients = self.desired.client_networks().iter().filter_map(|c| match &c.place {
                NetworkPlace::VirtualNetwork(id) => Some(id),
                NetworkPlace::OnPremises(_) => None,
            });
            for network in place.dns.links.iter().chain([&place.virtual_network]).chain(clients) {
                let known = VirtualNetworkSeen {
                    id: network.clone(),
                    location: "westeurope".into(),
                    dns_servers: Vec::new(),
                    address_space: vec![address_space_of(network)],
                    service_endpoints: Vec::new(),
                    peers: Vec::new(),
                };
                self.seen
                    .azure
                    .virtual_networks
                    .entry(network.clone())
                    .or_insert(Fact::Seen(known));
            }
            for zone in place.dns.zones.values() {
                self.seen.azure.zones.entry(zone.clone()).or_insert(Fact::Absent);
            }
            for (group, target) in self.groups() {
                let id = self.endpoint_id(place, group, &target);
                self.seen.azure.endpoints.entry(id).or_insert(Fact::Absent);
            }
        }
        let spec = self.desired.whole();
        let asks = spec.is_some_and(|spec| spec.verification.recent_public_clients.is_some());
        if asks && self.seen.azure.recent_public_clients.is_absent() {
            self.seen.azure.recent_public_clients = Fact::Seen(Vec::new());
        }
        // The registry's own is one account, wherever it is named.
        let own = |id: &&ArmId| self.seen.azure.targets.contains(id);
        let shared = spec.into_iter().flat_map(|spec| &spec.sharing);
        let shared: Vec<&ArmId> = shared.filter(|id| !own(id)).collect();
        for id in shared {
            let mut seen = open_storage("workspace", false);
            seen.id = id.clone();
            self.seen
                .azure
                .shared_storage
                .entry(id.clone())
                .or_insert(Fact::Seen(seen));
        }
        for network in self.desired.client_networks() {
            let name = network.vantage_point.as_str();
            let fact = match &network.place {
                NetworkPlace::VirtualNetwork(id) => point(name, VantageNetwork::VirtualNetwork, Some(id.clone())),
                NetworkPlace::OnPremises(_) => point(name, VantageNetwork::OnPremises, None),
            };
            self.seen
                .cluster
                .vantage_points
                .entry(network.vantage_point.clone())
                .or_insert(fact);
            self.seen
                .cluster
                .probes
                .entry(network.vantage_point.clone())
                .or_insert(Fact::Absent);
        }
    }

    pub fn endpoint_id(
        &self,
        place: &sreg_domain::desired::EndpointPlace,
        group: EndpointGroup,
        target: &ArmId,
    ) -> ArmId {
        place.resource_group.provider(
            "Microsoft.Network/privateEndpoints",
            &naming::endpoint_name_at(place, &self.desired.registry, target, group),
        )
    }

    /// Groups and targets that the registry has.
    pub fn groups(&self) -> Vec<(EndpointGroup, ArmId)> {
        let mut groups = vec![(EndpointGroup::AmlRegistry, self.desired.registry.clone())];
        for (id, fact) in self.seen.azure.targets.accounts() {
            let storage = fact.seen().and_then(TargetSeen::storage);
            if id.kind() == "microsoft.storage/storageaccounts" {
                groups.push((EndpointGroup::Blob, id.clone()));
            } else {
                groups.push((EndpointGroup::ContainerRegistry, id.clone()));
            }
            if storage.is_some_and(|s| s.hierarchical_namespace) {
                groups.push((EndpointGroup::Dfs, id.clone()));
            }
        }
        groups
    }

    /// The names that a target's group carries.
    pub fn names(&self, group: EndpointGroup, target: &ArmId) -> Vec<(String, Fqdn)> {
        let regions = || {
            let registry = self.seen.azure.registry_details();
            registry.map(|r| r.regions.clone()).unwrap_or_default()
        };
        match group {
            EndpointGroup::AmlRegistry if self.odd_registry_names => {
                vec![("amlregistry".into(), "r7.registry.api.azureml.ms".parse().unwrap())]
            }
            EndpointGroup::AmlRegistry => regions()
                .iter()
                .map(|r| ("amlregistry".into(), registry_name(r.location.as_str())))
                .collect(),
            EndpointGroup::Blob => vec![(
                "blob".into(),
                format!("{}.blob.core.windows.net", target.name()).parse().unwrap(),
            )],
            EndpointGroup::Dfs => vec![(
                "dfs".into(),
                format!("{}.dfs.core.windows.net", target.name()).parse().unwrap(),
            )],
            EndpointGroup::ContainerRegistry => {
                let acr = self.seen.azure.targets.get(target).seen().unwrap();
                let mut names = vec![("registry".to_owned(), acr.names[&group].clone())];
                for replica in acr.container_registry().unwrap().replicas.seen().unwrap() {
                    names.push((
                        format!("registry_data_{replica}"),
                        format!("{}.{replica}.data.azurecr.io", target.name()).parse().unwrap(),
                    ));
                }
                names
            }
        }
    }

    pub fn next_address(&mut self) -> IpAddr {
        self.addresses += 1;
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + self.addresses))
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = self
            .now
            .saturating_add(SignedDuration::try_from(time).unwrap())
            .unwrap();
        if let Some(round) = &mut self.seen.memory.round {
            round.age += time;
        }
        if let Some(lost_for) = &mut self.seen.memory.lost_for {
            *lost_for += time;
        }
        let since = self.seen.memory.since_name_change.unwrap_or_default();
        self.seen.memory.since_name_change = Some(since + time);
        self.seen.memory.name_changed = self.seen.memory.name_changed.map(|changed| changed + time);
        self.seen.memory.known_for = self.seen.memory.known_for.map(|known| known + time);
        self.finish_slow_things();
        self.put_back();
    }

    fn finish_slow_things(&mut self) {
        let creating: Vec<ArmId> = self
            .seen
            .azure
            .endpoints
            .iter()
            .filter(|(_, f)| f.seen().is_some_and(|e| e.provisioning_state == "Creating"))
            .map(|(id, _)| id.clone())
            .collect();
        for id in creating {
            self.provision(&id);
        }
    }

    /// A process restart: what was only remembered is gone.
    pub fn restart(&mut self) {
        self.seen.memory = Memory {
            known_for: Some(Duration::ZERO),
            round: None,
            lost_for: None,
            since_name_change: Some(Duration::ZERO),
            name_changed: None,
            attempts: Attempts::default(),
            zone_groups: BTreeMap::new(),
        };
    }

    pub fn state(&self) -> String {
        self.condition("Ready").map(|c| c.1).unwrap_or_default()
    }

    /// Status and reason of a condition.
    pub fn condition(&self, kind: &str) -> Option<(String, String)> {
        let conditions = &self.seen.object.status.conditions;
        conditions
            .iter()
            .find(|c| c.type_ == kind)
            .map(|c| (c.status.clone(), c.reason.clone()))
    }

    pub fn message(&self) -> String {
        self.seen
            .object
            .status
            .conditions
            .first()
            .map(|c| c.message.clone())
            .unwrap_or_default()
    }

    pub fn summary(&self) -> String {
        self.seen
            .object
            .status
            .public_access
            .clone()
            .unwrap_or_default()
            .summary
    }

    /// Whether each target is closed, by name.
    pub fn closed(&self) -> BTreeMap<String, bool> {
        let azure = &self.seen.azure;
        let is = |v: &Option<PublicNetworkAccess>| *v == Some(PublicNetworkAccess::Disabled);
        let mut all = BTreeMap::new();
        for target in azure.targets.seen() {
            let denies = target.storage().is_some()
                && target.public_network_access.as_deref().is_none_or(|a| a == "Enabled")
                && target.default_action.as_deref() == Some("Deny")
                && target.ip_rules.is_empty()
                && target.virtual_network_rules.is_empty();
            let name = target.id.name().to_owned();
            all.insert(name, is(&target.public_network_access) || denies);
        }
        all
    }

    pub fn all_closed(&self) -> bool {
        self.closed().values().all(|c| *c)
    }

    pub fn all_open(&self) -> bool {
        self.closed().values().all(|c| !*c)
    }
}

pub fn registry_name(region: &str) -> Fqdn {
    format!("abcd-1234.registry.{region}.api.azureml.ms").parse().unwrap()
}

pub fn unknown<T>(kind: IgnoranceKind) -> Fact<T> {
    Fact::Unknown(Ignorance {
        attempt: "read something".into(),
        kind,
        message: "the call failed".into(),
        code: Some("SomeCode".into()),
        correlation_id: Some("c-1".into()),
        retry_after: None,
    })
}

pub fn location(name: &str) -> Location {
    name.into()
}
